import { setTimeout as wait } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Answer, createConversation, createKey, expectError, type RunningApp, startApp } from '../support/app.ts'
import { onEveryDatabase } from '../support/databases.ts'

type Headers = { 'x-hl-api-key': string }

const SCOPES = ['conversations:read', 'conversations:write'] as const
const PER_MINUTE = 30
const SLOW = { text: 'too late', delayMs: 60_000 }

/** `RateLimit-Limit`, `-Remaining` and `-Reset` as numbers; null where there is none. */
function quotaOf({ headers }: Pick<Answer, 'headers'>) {
  const number = (name: string) => (headers.get(name) === null ? null : Number(headers.get(name)))
  return [number('ratelimit-limit'), number('ratelimit-remaining'), number('ratelimit-reset')]
}

async function refusalsOf(server: RunningApp): Promise<Record<string, number>> {
  const { text } = await server.call('GET', '/metrics')
  const lines = text.matchAll(/^dramatis_refused_requests_total\{reason="(\w+)"\} (\d+)$/gm)
  return Object.fromEntries([...lines].map(([, reason, count]) => [reason, Number(count)]))
}

onEveryDatabase('requests a minute', (kind) => {
  let server: RunningApp
  beforeAll(async () => {
    server = await startApp(kind, {
      DRAMATIS_REQUESTS_PER_MINUTE: String(PER_MINUTE),
      DRAMATIS_CORS_ORIGINS: 'https://example.com',
    })
  })
  afterAll(() => server.close())
  const makeKey = async (): Promise<Headers> => {
    const { apiKeys, organizations } = server.app.services
    const organization = (await organizations.first()) as { id: string }
    const { secret } = await apiKeys.create(organization.id, { name: 'limited', scopes: SCOPES, expiresAt: null })
    return { 'x-hl-api-key': secret }
  }

  test('are counted down on every answer, and refused when there are none left', async () => {
    const key = await makeKey()
    const ask = (method: string, path: string, body?: unknown) => server.call(method, path, body, key)
    const begun = performance.now()
    const made = await ask('POST', '/conversations', { aiSystem: 'rehearsal', model: 'rehearsal' })
    const id = made.body['conversationId'] as string
    const answers = [
      made,
      await ask('GET', `/conversations/${id}`),
      await ask('PATCH', `/conversations/${id}/chat-sse`, { message: 'Hi' }),
      await ask('PATCH', `/conversations/${id}/chat`, { message: 7 }),
      await ask('GET', '/nowhere'),
      await ask('GET', '/personas'),
    ]
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 400, 404, 403])
    // One more comes every two seconds, so a slow machine gets some of them.
    const more = Math.floor((performance.now() - begun) / 2_000)
    for (const [n, answer] of answers.entries()) {
      const [limit, remaining] = quotaOf(answer)
      expect(limit).toBe(PER_MINUTE)
      expect(remaining).toBeOneOf(Array.from({ length: more + 1 }, (_, i) => PER_MINUTE - n - 1 + i))
    }
    const rest = await Promise.all(Array.from({ length: 2 * PER_MINUTE }, () => ask('GET', `/conversations/${id}`)))
    const quotas = rest.map(quotaOf)
    expect(rest.filter(({ status }) => status === 200).length).toBeLessThan(2 * PER_MINUTE)
    expect(Math.min(...quotas.map(([, remaining]) => remaining as number))).toBe(0)
    expect(Math.max(...quotas.map(([, , reset]) => reset as number))).toBeGreaterThan(50)

    const refused = rest.find(({ status }) => status === 429) as Answer
    expect(expectError(refused, 'rate_limited').message).toContain(`${PER_MINUTE} requests a minute`)
    expect(quotaOf(refused).slice(0, 2)).toEqual([PER_MINUTE, 0])
    expect(['1', '2']).toContain(refused.headers.get('retry-after'))
    // Before anything of the request is looked at.
    const unread = await Promise.all([1, 2, 3].map(() => ask('PATCH', `/conversations/${id}/chat`, 'no JSON')))
    expect(unread.map(({ status }) => status)).toContain(429)
    expect((await server.call('GET', `/conversations/${id}`, undefined, await makeKey())).status).toBe(200)

    const counted = [...rest, ...unread].filter(({ status }) => status === 429).length
    expect((await refusalsOf(server))['request_rate']).toBe(counted)
    expect(server.logged.filter(({ refusedBy }) => refusedBy === 'request_rate')).toHaveLength(counted)
  })

  test('come back', async () => {
    const key = await makeKey()
    const ask = () => server.call('GET', '/conversations', undefined, key)
    const begun = performance.now()
    const first = await Promise.all(Array.from({ length: 2 * PER_MINUTE }, ask))
    const answered = first.filter(({ status }) => status === 200).length
    expect(answered).toBeGreaterThanOrEqual(PER_MINUTE)
    expect(answered).toBeLessThanOrEqual(PER_MINUTE + Math.floor((performance.now() - begun) / 2_000))
    expect(first.filter(({ status }) => status === 429)).toHaveLength(first.length - answered)
    await wait(Number(first.find(({ status }) => status === 429)?.headers.get('retry-after')) * 1_000)
    expect((await ask()).status).toBe(200)
  })

  test('are nobody’s business where there is no key', async () => {
    for (const path of ['/healthz', '/readyz']) {
      const answer = await server.call('GET', path)
      expect([answer.status, ...quotaOf(answer)]).toEqual([200, null, null, null])
    }
    const unknown = await server.call('GET', '/personas', undefined, { 'x-hl-api-key': 'dram_nobody' })
    expect([unknown.status, ...quotaOf(unknown)]).toEqual([401, null, null, null])
  })

  test('can be read by scripts of a browser', async () => {
    const { headers } = await server.call('GET', '/conversations', undefined, {
      ...(await makeKey()),
      origin: 'https://example.com',
    })
    const exposed = (headers.get('access-control-expose-headers') ?? '').toLowerCase().split(/, */)
    expect(exposed).toEqual(
      expect.arrayContaining(['ratelimit-limit', 'ratelimit-remaining', 'ratelimit-reset', 'retry-after']),
    )
  })

  test('are not used up by what is asked again with the same idempotency key', async () => {
    const key = await makeKey()
    const send = (idempotencyKey: string) =>
      server.call(
        'POST',
        '/conversations',
        { aiSystem: 'rehearsal', model: 'rehearsal' },
        { ...key, 'idempotency-key': idempotencyKey },
      )
    const first = await send('same')
    expect(first.status).toBe(200)
    for (let n = 0; n < 10; n++) {
      const again = await send('same')
      expect(again.text).toBe(first.text)
      // One comes back by itself every second or two.
      expect(quotaOf(again)[1]).toBeGreaterThanOrEqual(PER_MINUTE - 1)
    }
    const others = await Promise.all(Array.from({ length: 2 * PER_MINUTE }, (_, n) => send(`other ${n}`)))
    expect(others.filter(({ status }) => status === 200).length).toBeGreaterThanOrEqual(PER_MINUTE - 1)
    expect(others.filter(({ status }) => status === 429).length).toBeGreaterThan(0)
    expect((await send('same')).text).toBe(first.text)
    // One that cannot be a replay is refused before its body is read, whatever it names.
    const list = () => server.call('GET', '/conversations', undefined, { ...key, 'idempotency-key': 'x' })
    // Several, because one or two may have come back meanwhile.
    const refused = (await Promise.all([1, 2, 3, 4].map(list))).find(({ status }) => status === 429)
    expectError(refused as Answer, 'rate_limited')
  })
})

onEveryDatabase('turns under way', (kind) => {
  let server: RunningApp
  beforeAll(async () => {
    server = await startApp(kind, { DRAMATIS_RUNNING_TURNS_PER_KEY: '3', DRAMATIS_RUNNING_TURNS: '5' })
  })
  afterAll(() => server.close())

  /** Begins a turn that goes on until it is cancelled; `finish` cancels it. */
  async function begin(id: string, key: Headers, query = ''): Promise<{ finish(): Promise<void> }> {
    const known = new Set(await runIds(id))
    const answer = server.call('PATCH', `/conversations/${id}/chat${query}`, { message: 'Hi' }, key)
    let runId: string | undefined
    await expect
      .poll(async () => {
        runId = (await runIds(id)).find((one) => !known.has(one))
        return runId
      })
      .toBeDefined()
    return {
      finish: async () => {
        await server.call('POST', `/conversations/${id}/runs/${runId}/cancel`)
        await answer
      },
    }
  }
  const runIds = async (id: string) =>
    (await server.call<{ data: { runId: string }[] }>('GET', `/conversations/${id}/runs`)).body.data.map(
      ({ runId }) => runId,
    )
  const send = (id: string, key: Headers, query = '') =>
    server.call('PATCH', `/conversations/${id}/chat${query}`, { message: 'Hi' }, key)

  test('are limited for each key, and for the process', async () => {
    const [mine, theirs] = [await createKey(server, SCOPES), await createKey(server, SCOPES)]
    const busy = await createConversation(server, SLOW)
    const ids = await Promise.all([1, 2, 3, 4].map(() => createConversation(server, SLOW)))
    const [other, another, free, last] = ids as [string, string, string, string]
    // One that waits counts as well.
    const running = [await begin(busy, mine), await begin(other, mine)]
    const waiting = await begin(busy, mine, '?onBusy=wait')

    const refused = await send(free, mine)
    expect(expectError(refused, 'rate_limited').message).toContain('3 turns')
    expect(refused.headers.get('retry-after')).toBe('1')
    expect(quotaOf(refused)).toEqual([3, 0, 1])
    expectError(await send(busy, mine, '?onBusy=wait'), 'rate_limited')
    expectError(
      await server.call('POST', '/conversations', { aiSystem: 'rehearsal', model: 'rehearsal', message: 'Hi' }, mine),
      'rate_limited',
    )
    // What else is wrong is said first.
    expect(expectError(await send(busy, mine), 'conflict').runId).toMatch(/^[0-9a-f-]{36}$/)
    expectError(await send('01890000-0000-7000-8000-00000000000a', mine), 'not_found')
    // Nothing of a refused turn is left.
    expect(await runIds(free)).toEqual([])

    running.push(await begin(another, theirs), await begin(free, theirs))
    const full = await send(last, theirs)
    expect(expectError(full, 'unavailable').message).toContain('5 turns')
    expect(full.headers.get('retry-after')).toBe('1')
    expectError(await send(free, theirs), 'conflict')

    await waiting.finish()
    const place = await begin(last, theirs)
    for (const turn of [place, ...running]) await turn.finish()
    expect(await refusalsOf(server)).toEqual({ running_turns_of_key: 3, running_turns: 1 })
  })

  test('give their place back, whatever becomes of them', async () => {
    const key = await createKey(server, SCOPES)
    const good = await createConversation(server)
    const bad = await createConversation(server, { failure: 'error', text: 'x' })
    const slow = await createConversation(server, SLOW)
    for (let n = 0; n < 5; n++) {
      expect((await send(good, key)).status).toBe(200)
      expect((await send(bad, key)).status).toBe(502)
      expectError(await send('01890000-0000-7000-8000-00000000000a', key), 'not_found')
      await (await begin(slow, key)).finish()
    }
    const { text } = await server.call('GET', '/metrics')
    expect(text).toMatch(/^dramatis_running_turns 0$/m)
  })

  test('that come all at once cannot all find the last place', async () => {
    const key = await createKey(server, SCOPES)
    const ids = await Promise.all(
      Array.from({ length: 12 }, () => createConversation(server, { text: 'a', delayMs: 500 })),
    )
    const statuses = (await Promise.all(ids.map((id) => send(id, key)))).map(({ status }) => status)
    expect(statuses.filter((status) => status === 200)).toHaveLength(3)
    expect(statuses.filter((status) => status === 429)).toHaveLength(9)
  })
})

onEveryDatabase('a crowd on two conversations', (kind) => {
  test('is answered or told that a turn is running, and nothing else', async () => {
    const server = await startApp(kind)
    const ids = [await createConversation(server), await createConversation(server)]
    const statuses = new Map<number, number>()
    const crowd = Array.from({ length: 16 }, async (_, n) => {
      for (let sent = 0; sent < 40; sent++) {
        const { status } = await server.call('PATCH', `/conversations/${ids[n % 2]}/chat`, { message: 'Hi' })
        statuses.set(status, (statuses.get(status) ?? 0) + 1)
      }
    })
    await Promise.all(crowd)
    expect([...statuses.keys()].sort()).toEqual([200, 409])
    await server.close()
  })
})

onEveryDatabase('a process that cannot keep up', (kind) => {
  test('refuses new work and long reads, and nothing else', async () => {
    const server = await startApp(kind, { DRAMATIS_SHED_DELAY_MS: '500' })
    const id = await createConversation(server, SLOW)
    const running = server.call('PATCH', `/conversations/${id}/chat`, { message: 'Hi' })
    const runs = () => server.call<{ data: { runId: string }[] }>('GET', `/conversations/${id}/runs`)
    await expect.poll(async () => (await runs()).body.data.length).toBe(1)
    const runId = (await runs()).body.data[0]?.runId
    const start = () => server.call('POST', '/conversations', { aiSystem: 'rehearsal', model: 'rehearsal' })
    await expect.poll(async () => (await start()).status).toBe(200)

    // In every second of the watch there is a delay.
    const stalling = setInterval(() => {
      for (const until = performance.now() + 700; performance.now() < until; );
    }, 850)
    await expect.poll(async () => (await start()).status).toBe(503)
    const refused = await start()
    expectError(refused, 'unavailable')
    expect(refused.headers.get('retry-after')).toBe('1')
    const costly = ['/conversations?includeMessages=true', `/conversations/${id}/export`, '/users/none/export']
    for (const answer of await Promise.all(costly.map((path) => server.call('GET', path)))) {
      expectError(answer, 'unavailable')
      expect(answer.headers.get('retry-after')).toBe('1')
    }
    const others = await Promise.all([
      server.call('GET', '/healthz'),
      server.call('GET', '/readyz'),
      server.call('GET', '/metrics'),
      server.call('GET', `/conversations/${id}`),
      server.call('GET', '/conversations?includeMessages=false'),
      server.call('GET', '/api-keys'),
      server.call('POST', `/conversations/${id}/runs/${runId}/cancel`),
    ])
    clearInterval(stalling)
    expect(others.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200, 200, 200])
    await running
    await expect.poll(async () => (await start()).status).toBe(200)
    expect((await refusalsOf(server))['event_loop_delay']).toBeGreaterThanOrEqual(1)
    await server.close()
  })
})

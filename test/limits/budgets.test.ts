import { setTimeout as wait } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { type Answer, createConversation, expectError, type Json, type RunningApp, serve } from '../support/app.ts'
import { startAppWithProvider } from '../support/app-with-provider.ts'
import { onEveryDatabase } from '../support/databases.ts'
import { startServer } from '../support/process.ts'
import { chatReply, type ProviderServer } from '../support/provider-server.ts'

type Key = { id: string; headers: { 'x-hl-api-key': string } }
type Usage = { prompt_tokens: number; completion_tokens: number; total_tokens: number }
type ChatAnswer = { usage: Usage; runId: string }

const MESSAGE = 'Tell me something'
const REPLY = { text: 'One two three.' }

async function createKey(server: Pick<RunningApp, 'call'>, dailyTokens?: number | null): Promise<Key> {
  const answer = await server.call('POST', '/api-keys', {
    name: 'with a budget',
    scopes: ['conversations:read', 'conversations:write'],
    ...(dailyTokens === undefined ? {} : { dailyTokens }),
  })
  expect(answer.status, answer.text).toBe(200)
  expect(answer.body['dailyTokens']).toBe(dailyTokens ?? null)
  return { id: answer.body['id'] as string, headers: { 'x-hl-api-key': answer.body['key'] as string } }
}

/** What is booked for a key, over all days. */
async function bookedFor(server: RunningApp, key: Key): Promise<{ reserved: number; used: number }> {
  const { database } = server.app.services
  const rows = await database.read(
    database.dialect.builder
      .selectFrom('token_budget')
      .select(['reserved', 'used'])
      .where('api_key_id', '=', key.id)
      .compile(),
  )
  return rows.reduce((sum, row) => ({ reserved: sum.reserved + row.reserved, used: sum.used + row.used }), {
    reserved: 0,
    used: 0,
  })
}

onEveryDatabase('a daily token budget', (kind) => {
  let server: RunningApp
  let provider: ProviderServer
  beforeAll(async () => {
    ;({ server, provider } = await startAppWithProvider(kind, { OPENAI_COMPATIBLE_MODEL: 'm' }))
  })
  afterAll(() => server.close())

  /** A conversation whose replies may have `maxTokens`. */
  async function converse(rehearsal: Json, maxTokens?: number): Promise<string> {
    const { status, body, text } = await server.call('POST', '/conversations', {
      aiSystem: 'rehearsal',
      model: 'rehearsal',
      systemMessage: 'Be brief.',
      configuration: { rehearsal, ...(maxTokens === undefined ? {} : { maxTokens }) },
    })
    expect(status, text).toBe(200)
    return body['conversationId'] as string
  }
  const send = <T = ChatAnswer>(id: string, key: Key, message = MESSAGE, query = '') =>
    server.call<T>('PATCH', `/conversations/${id}/chat${query}`, { message }, key.headers)

  async function cancelRun(id: string): Promise<void> {
    const { body } = await server.call<{ data: { runId: string }[] }>('GET', `/conversations/${id}/runs`)
    await server.call('POST', `/conversations/${id}/runs/${body.data[0]?.runId}/cancel`)
  }

  /** What one turn on a new conversation of this kind reserves. */
  async function estimateOf(maxTokens: number): Promise<number> {
    const key = await createKey(server, 1_000_000)
    const id = await converse({ ...REPLY, delayMs: 60_000 }, maxTokens)
    const answer = send(id, key)
    await expect.poll(async () => (await bookedFor(server, key)).reserved).toBeGreaterThan(maxTokens)
    const { reserved } = await bookedFor(server, key)
    await cancelRun(id)
    await answer
    // The prompt was on its way.
    expect(await bookedFor(server, key)).toEqual({ reserved: 0, used: reserved - maxTokens })
    return reserved
  }

  test('is not overshot by a hundred turns that come at once', async () => {
    const estimate = await estimateOf(50)
    const [most, over] = [12, estimate - 1]
    const key = await createKey(server, most * estimate + over)
    const ids: string[] = []
    for (let n = 0; n < 100; n++) ids.push(await converse({ ...REPLY, delayMs: 600_000 }, 50))

    let isOver = false
    const highest = { booked: 0 }
    const watching = (async () => {
      for (; !isOver; await wait(20)) {
        const { reserved, used } = await bookedFor(server, key)
        highest.booked = Math.max(highest.booked, reserved + used)
      }
    })()
    const refused: string[] = []
    const answers = ids.map(async (id) => {
      const { status } = await send(id, key)
      if (status === 429) refused.push(id)
      return status
    })
    // Those that got through run until the last has been refused.
    await expect.poll(() => refused.length).toBe(100 - most)
    expect(await bookedFor(server, key)).toEqual({ reserved: most * estimate, used: 0 })
    const accepted = ids.filter((id) => !refused.includes(id))
    await Promise.all(accepted.map((id) => cancelRun(id)))
    const statuses = await Promise.all(answers).finally(() => {
      isOver = true
    })
    await watching
    expect(statuses.filter((status) => status === 499)).toHaveLength(most)
    expect(highest.booked).toBe(most * estimate)
    expect(await bookedFor(server, key)).toEqual({ reserved: 0, used: most * (estimate - 50) })

    // Of a refused turn nothing is stored, and what was given back can be used by the next.
    const silent = refused[0] as string
    const { body } = await server.call<{ chatMessages: unknown[] }>('GET', `/conversations/${silent}`)
    expect(body.chatMessages).toHaveLength(1)
    const next = send(silent, key)
    await expect.poll(async () => (await bookedFor(server, key)).reserved).toBe(estimate)
    await cancelRun(silent)
    expect((await next).status).toBe(499)
  })

  test('refuses what it may not suffice for, until the next day', async () => {
    const limit = 200
    const key = await createKey(server, limit)
    const id = await converse({ text: 'word '.repeat(40).trim() }, 50)
    const first = await send(id, key)
    expect(first.status).toBe(200)
    const { used } = await bookedFor(server, key)
    expect(used).toBe(first.body.usage.total_tokens)

    const refused: Answer<unknown> = await send(id, key, 'word '.repeat(60))
    const { message } = expectError(refused, 'rate_limited')
    expect(message).toMatch(/^the daily token budget of this API key is used up: /)
    const number = (name: string) => Number(refused.headers.get(name))
    expect(number('ratelimit-limit')).toBe(limit)
    expect(number('ratelimit-remaining')).toBe(limit - used)
    const midnight = new Date().setUTCHours(24, 0, 0, 0)
    expect(Math.abs((midnight - Date.now()) / 1_000 - number('retry-after'))).toBeLessThan(5)
    expect(number('ratelimit-reset')).toBe(number('retry-after'))
    // Another key is none the worse for it, and the conversation neither.
    expect((await send(id, await createKey(server))).status).toBe(200)
    const { text } = await server.call('GET', '/metrics')
    expect(text).toMatch(/dramatis_refused_requests_total\{reason="token_budget"\} [1-9]/)
  })

  test('says at once what no day suffices for, and what to do about it', async () => {
    const key = await createKey(server, 500)
    const id = await converse(REPLY, 50)
    const { message } = expectError(await send<unknown>(id, key, 'word '.repeat(600)), 'unprocessable_entity')
    expect(message).toMatch(
      /^this turn may need \d+ tokens, and the daily token budget of this API key is 500: .*contextWindow/,
    )
    expect(await bookedFor(server, key)).toEqual({ reserved: 0, used: 0 })
  })

  test('shortens the reply rather than refuse it, as far as a reply makes sense', async () => {
    const key = await createKey(server, 1_000)
    const id = await converse({ text: 'word '.repeat(6_000).trim() })
    const first = await send(id, key)
    expect(first.status).toBe(200)
    const { used } = await bookedFor(server, key)
    expect(used).toBe(first.body.usage.total_tokens)
    // What the rehearsal counts is less than what is taken for its prompt.
    expect(used).toBeGreaterThan(900)
    expect(used).toBeLessThanOrEqual(1_000)
    expectError(await send<unknown>(await converse(REPLY), key), 'rate_limited')
    const { body } = await server.call<{ data: Json[] }>('GET', '/api-keys')
    const shown = (one: Key) => body.data.find(({ id }) => id === one.id)?.['tokensUsedToday']
    expect(shown(key)).toBe(used)
    expect(shown(await createKey(server))).toBeUndefined()
  })

  test('comes after everything else that stands in the way', async () => {
    const poor = await createKey(server, 1)
    const busy = await converse({ ...REPLY, delayMs: 60_000 }, 50)
    expectError(await send<unknown>(busy, poor), 'unprocessable_entity')
    const running = send(busy, await createKey(server))
    const runs = () => server.call<{ data: { runId: string }[] }>('GET', `/conversations/${busy}/runs`)
    await expect.poll(async () => (await runs()).body.data.length).toBe(1)
    const runId = (await runs()).body.data[0]?.runId
    expect(expectError(await send<unknown>(busy, poor), 'conflict').runId).toBe(runId)
    expectError(await send<unknown>(busy, poor, MESSAGE, '?onBusy=wait'), 'unprocessable_entity')
    expectError(await send<unknown>('01890000-0000-7000-8000-00000000000a', poor), 'not_found')
    await server.call('POST', `/conversations/${busy}/runs/${runId}/cancel`)
    await running
    expect(await bookedFor(server, poor)).toEqual({ reserved: 0, used: 0 })
  })

  test('counts what a provider counted, even where that is more than was reserved', async () => {
    const key = await createKey(server, 20_000)
    provider.always(chatReply(['One', ' two.'], { usage: { prompt_tokens: 12_000, completion_tokens: 12_000 } }))
    const { body } = await server.call('POST', '/conversations', { aiSystem: 'openai-compatible', model: 'm' })
    const id = body['conversationId'] as string
    expect((await send(id, key)).status).toBe(200)
    expect(await bookedFor(server, key)).toEqual({ reserved: 0, used: 24_000 })
    expectError(await send<unknown>(await converse(REPLY, 1), key), 'rate_limited')
    expect(provider.requests.at(-1)?.body).toMatchObject({ max_tokens: 4_096 })
    provider.always(null)
  })

  test('is booked for every way to begin a turn and every way to end it', async () => {
    const key = await createKey(server, 1_000_000)
    const call = <T>(method: string, path: string, body?: unknown) => server.call<T>(method, path, body, key.headers)
    const started = await call<{ totalTokens: number; conversationId: string }>('POST', '/conversations', {
      aiSystem: 'rehearsal',
      model: 'rehearsal',
      message: 'Hi',
      configuration: { rehearsal: REPLY },
    })
    const id = started.body.conversationId
    expect((await bookedFor(server, key)).used).toBe(started.body.totalTokens)

    await call('POST', `/conversations/${id}/regenerate`)
    const { body } = await call<{ chatMessages: { role: string; messageId: string }[] }>('GET', `/conversations/${id}`)
    const said = body.chatMessages.findLast(({ role }) => role === 'user')
    await call('PATCH', `/conversations/${id}/messages/${said?.messageId}`, { content: 'Hello' })
    await Promise.all(['a', 'b', 'c'].map((message) => send(id, key, message, '?onBusy=wait')))
    const streamed = await call('PATCH', `/conversations/${id}/chat-sse`, { message: 'Hi' })
    expect(streamed.text).toContain('[DONE]')
    const { totalTokens } = (await call<{ totalTokens: number }>('GET', `/conversations/${id}`)).body
    expect(totalTokens).toBeGreaterThan(started.body.totalTokens)
    expect(await bookedFor(server, key)).toEqual({ reserved: 0, used: totalTokens })

    const failing = await converse({ failure: 'error', text: 'x' })
    expect((await send(failing, key)).status).toBe(502)
    const cut = await converse({ failure: 'cut', failAtToken: 2, text: 'One two three.' })
    expect((await send(cut, key)).status).toBe(502)
    const rest = (await call<{ totalTokens: number }>('GET', `/conversations/${cut}`)).body.totalTokens
    expect(await bookedFor(server, key)).toEqual({ reserved: 0, used: totalTokens + rest })
  })

  test('costs nothing where there is none', async () => {
    const id = await createConversation(server)
    const { database } = server.app.services
    const key = await createKey(server)
    const read = vi.spyOn(database, 'read')
    const write = vi.spyOn(database, 'write')
    expect((await send(id, key)).status).toBe(200)
    const statements = [...write.mock.calls.flatMap(([batch]) => batch), ...read.mock.calls.map(([query]) => query)]
    vi.restoreAllMocks()
    expect(statements.length).toBeGreaterThan(5)
    expect(statements.filter(({ sql }) => sql.includes('token_budget'))).toEqual([])
    // Its context is read once, by the run.
    expect(read.mock.calls.filter(([{ sql }]) => /from "message"/.test(sql))).toHaveLength(1)
  })

  test('is given when a key is made', async () => {
    const key = await createKey(server, 5_000)
    const list = await server.call<{ data: Json[] }>('GET', '/api-keys')
    expect(list.body.data.find(({ id }) => id === key.id)).toMatchObject({ dailyTokens: 5_000 })
    for (const dailyTokens of [0, -1, 1.5, '5', 1e13, true]) {
      const answer = await server.call('POST', '/api-keys', { name: 'x', dailyTokens })
      expect(expectError(answer, 'bad_request').details.map(({ field }) => field)).toEqual(['dailyTokens'])
    }
  })
})

onEveryDatabase('a daily token budget, after a crash', (kind) => {
  test('has back what the interrupted turns had reserved', async () => {
    const place = await kind.create()
    const lease = { DRAMATIS_LEASE_MS: '500' }
    const dying = await startServer(place, lease)
    const post = async (path: string, body: unknown) => (await dying.call('POST', path, body)).body as Json
    const made = await post('/api-keys', { name: 'x', dailyTokens: 100_000 })
    const key = { id: made['id'] as string, headers: { 'x-hl-api-key': made['key'] as string } }
    const configuration = { rehearsal: { text: 'One two three four five.', tokensPerSecond: 10, delayMs: 100 } }
    const start = { aiSystem: 'rehearsal', model: 'rehearsal', configuration }
    const ids: string[] = []
    for (let n = 0; n < 4; n++) ids.push((await post('/conversations', start))['conversationId'] as string)
    for (const [n, id] of ids.entries()) {
      const query = n === 3 ? '?onCrash=restart' : ''
      void dying
        .call('PATCH', `/conversations/${id}/chat${query}`, { message: MESSAGE }, key.headers['x-hl-api-key'])
        .catch(() => {})
    }
    await expect
      .poll(async () => {
        const { body } = await dying.call('GET', `/conversations/${ids[3]}/runs`)
        return (body as { data: unknown[] }).data.length
      })
      .toBe(1)
    dying.kill('SIGKILL')
    await dying.ended

    const server = await serve(place, lease)
    const total = async () => {
      const all = await Promise.all(
        ids.map((id) => server.call<{ totalTokens: number }>('GET', `/conversations/${id}`)),
      )
      return all.reduce((sum, { body }) => sum + body.totalTokens, 0)
    }
    await expect.poll(async () => (await bookedFor(server, key)).reserved).toBe(0)
    expect((await bookedFor(server, key)).used).toBe(await total())
    await server.close()
    await place.remove()
  })
})

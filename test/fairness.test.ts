import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { createEraseService } from '../server/src/features/privacy/erase-service.ts'
import { SCOPES } from '../server/src/http/caller.ts'
import { type Answer, createOrganization, expectError, type Json, type RunningApp, serve } from './support/app.ts'
import { type DatabaseKind, onEveryDatabase } from './support/databases.ts'
import { chatReply, type ProviderServer, startProviderServer } from './support/provider-server.ts'
import { startToolServer, type ToolServer } from './support/tool-server.ts'

type Headers = { 'x-hl-api-key': string }

const REHEARSAL = { aiSystem: 'rehearsal', model: 'rehearsal' }
const MODEL = { aiSystem: 'openai-compatible', model: 'm' }
const SLOW = { rehearsal: { text: 'too late', delayMs: 60_000 } }

/** A server with two organizations: `loud` does its worst, and `quiet` wants a turn. */
async function startWithTwo(kind: DatabaseKind, env: Record<string, string> = {}) {
  const place = await kind.create()
  const first = await serve(place)
  const [loud, quiet] = [await createOrganization(first, 'Loud'), await createOrganization(first, 'Quiet')]
  await first.close()
  const running = await serve(place, env)
  const close = async () => {
    await running.close()
    await place.remove()
  }
  const server: RunningApp = { ...running, close }
  const keyOf = ({ key }: { key: string }): Headers => ({ 'x-hl-api-key': key })
  const start = async (key: Headers, fields: Json) => {
    const answer = await server.call('POST', '/conversations', fields, key)
    if (answer.status !== 200) throw new Error(`conversation: ${answer.status} ${answer.text}`)
    return `/conversations/${answer.body['conversationId']}`
  }
  const send = (key: Headers, path: string, query = '') =>
    server.call('PATCH', `${path}/chat${query}`, { message: 'Hi' }, key)
  /** Sends a message, and resolves when the run is stored; `answer` is what comes of it. */
  const begin = async (key: Headers, fields: Json) => {
    const path = await start(key, fields)
    const response = await server.open('POST', `${path}/chat-sse`, { message: 'Hi' }, key)
    const runId = response.headers.get('x-dramatis-run-id')
    return { path, run: `${path}/runs/${runId}`, response }
  }
  return { server, loud: keyOf(loud), quiet: keyOf(quiet), organizations: { loud, quiet }, start, send, begin }
}

async function statusOf(server: RunningApp, key: Headers, run: string): Promise<unknown> {
  return (await server.call('GET', run, undefined, key)).body['status']
}

onEveryDatabase('a provider that one caller has trouble with', (kind) => {
  let provider: ProviderServer
  let two: Awaited<ReturnType<typeof startWithTwo>>
  beforeAll(async () => {
    provider = await startProviderServer()
    two = await startWithTwo(kind, { OPENAI_COMPATIBLE_BASE_URL: `${provider.url}/v1` })
  })
  afterEach(() => provider.always(null))
  afterAll(async () => {
    await two.server.close()
    await provider.close()
  })

  const isFrom = (who: string) => (request: { body: unknown }) => JSON.stringify(request.body).includes(who)

  test('is there for others: short timeouts, refused models, and prompts that make it fail', async () => {
    const { loud, quiet, start, send } = two
    provider.always(({ body }) => {
      const { model } = body as { model: string }
      if (model === 'forbidden') return { status: 403, pieces: ['{"error":{"message":"not yours"}}'] }
      if (isFrom('slow')({ body })) return { isSilent: true }
      return isFrom('poison')({ body }) ? { status: 500 } : chatReply(['fine'])
    })
    const worst = [
      { ...MODEL, systemMessage: 'slow', configuration: { timeouts: { firstTokenMs: 1 } } },
      { ...MODEL, model: 'forbidden' },
      { ...MODEL, systemMessage: 'poison' },
      { ...MODEL, systemMessage: 'poison' },
      { ...MODEL, systemMessage: 'poison' },
    ]
    for (const fields of worst) {
      const path = await start(loud, fields)
      for (let n = 0; n < 11; n++) expect((await send(loud, path)).status).toBeGreaterThanOrEqual(500)
    }
    // Theirs is shut by now, for three of their conversations have failed: nobody is asked for them.
    const asked = provider.requests.length
    expectError(await send(loud, await start(loud, { ...MODEL, systemMessage: 'poison' })), 'unavailable')
    expect(provider.requests.length).toBe(asked)
    const answer = await send(quiet, await start(quiet, MODEL))
    expect([answer.status, answer.text]).toEqual([200, expect.stringContaining('fine')])
    expect((await send(quiet, await start(quiet, { ...MODEL, model: 'other' }))).status).toBe(200)
  }, 120_000)

  test('and that is really down is noticed also by a single caller', async () => {
    const { quiet, start, send } = two
    provider.always({ status: 503 })
    const fallbacks = [REHEARSAL]
    const path = await start(quiet, { ...MODEL, model: 'down', configuration: { fallbacks } })
    for (let n = 0; n < 4; n++) expect((await send(quiet, path)).status).toBe(200)
    const asked = provider.requests.length
    expect((await send(quiet, path)).status).toBe(200)
    expect(provider.requests.length).toBe(asked)
  }, 60_000)
})

onEveryDatabase('places for turns', (kind) => {
  let service: ToolServer
  let two: Awaited<ReturnType<typeof startWithTwo>>
  const env = {
    ...{ DRAMATIS_RUNNING_TURNS_PER_KEY: '8', DRAMATIS_RUNNING_TURNS: '8' },
    DRAMATIS_ALLOW_PRIVATE_HOSTS: '127.0.0.1',
  }
  beforeAll(async () => {
    service = await startToolServer()
    two = await startWithTwo(kind, env)
  })
  afterAll(async () => {
    await two.server.close()
    await service.close()
  })

  test('are not all for one organization, however many keys it has', async () => {
    const { server, loud, quiet, organizations, start, send, begin } = two
    const { secret } = await server.app.services.apiKeys.create(organizations.loud.id, {
      ...{ name: 'second', scopes: SCOPES, expiresAt: null },
    })
    const keys = [loud, { 'x-hl-api-key': secret }]
    // Streams of turns that say nothing have no headers yet; what counts is that the run is there.
    const paths = await Promise.all(
      keys.flatMap((key) => [0, 1, 2].map(() => start(key, { ...REHEARSAL, configuration: SLOW }))),
    )
    const answers: Promise<Answer>[] = []
    for (const [n, path] of paths.slice(0, 4).entries()) {
      answers.push(send(keys[n % 2] as Headers, path))
      await expect
        .poll(
          async () => (await server.call<{ data: Json[] }>('GET', `${path}/runs`, undefined, loud)).body.data.length,
        )
        .toBe(1)
    }
    for (const [n, path] of paths.slice(4).entries()) {
      const refused = await send(keys[n % 2] as Headers, path)
      expect(expectError(refused, 'rate_limited').message).toContain('this organization has 4 turns')
      expect(refused.headers.get('retry-after')).toBe('1')
    }
    expect((await send(quiet, await start(quiet, REHEARSAL))).status).toBe(200)
    const done = await begin(quiet, REHEARSAL)
    expect(await done.response.text()).toContain('[DONE]')
    for (const path of paths.slice(0, 4)) {
      const { data } = (await server.call<{ data: { runId: string }[] }>('GET', `${path}/runs`, undefined, loud)).body
      await server.call('POST', `${path}/runs/${data[0]?.runId}/cancel`, undefined, loud)
    }
    await Promise.all(answers)
  })

  test('are not held by turns that wait for an approval', async () => {
    const { server, loud, quiet, start, send, begin } = two
    const tool = {
      ...{ type: 'http', name: 'pay', description: 'Pays.', inputSchema: { type: 'object' }, method: 'POST' },
      ...{ url: `${service.url}/pay`, requiresApproval: true },
    }
    const asking = {
      ...REHEARSAL,
      configuration: { tools: [tool], rehearsal: { text: 'Paid.', toolCalls: [[{ name: 'pay' }]] } },
    }
    const waiting: Awaited<ReturnType<typeof begin>>[] = []
    const wait = async () => {
      const turn = await begin(loud, asking)
      if (turn.response.status !== 200) return turn.response.status
      await expect.poll(() => statusOf(server, loud, turn.run)).toBe('waiting')
      waiting.push(turn)
      return 200
    }
    const gauge = async (name: string) => {
      const { text } = await server.call('GET', '/metrics')
      return Number(new RegExp(`^dramatis_${name} (\\d+)$`, 'm').exec(text)?.[1])
    }
    // Half of the eight that may wait are for one organization of several: these have given their places back.
    for (let n = 0; n < 4; n++) expect(await wait()).toBe(200)
    expect(await gauge('waiting_turns')).toBe(4)
    expect((await send(loud, await start(loud, REHEARSAL))).status).toBe(200)
    // More of them keep theirs, and when those are used up the next ones are refused.
    for (let n = 0; n < 4; n++) expect(await wait()).toBe(200)
    expect(await gauge('waiting_turns')).toBe(4)
    expect(await wait()).toBe(429)
    expectError(await send(loud, await start(loud, REHEARSAL)), 'rate_limited')
    for (let n = 0; n < 3; n++) expect((await send(quiet, await start(quiet, REHEARSAL))).status).toBe(200)

    // Who is allowed goes on, although no place is free for it.
    const [first] = waiting
    const { body } = await server.call<{ chatMessages: Json[] }>('GET', `${first?.path}`, undefined, loud)
    expect(body.chatMessages.length).toBeGreaterThan(0)
    const events = await first?.response.body?.pipeThrough(new TextDecoderStream()).getReader().read()
    const toolCallId = /"toolCallId":"([^"]+)"/.exec(String(events?.value))?.[1]
    expect((await server.call('POST', `${first?.run}/approve`, { toolCallId }, loud)).status).toBe(200)
    await expect.poll(() => statusOf(server, loud, first?.run ?? '')).toBe('completed')
    await Promise.all(waiting.slice(1).map(({ run }) => server.call('POST', `${run}/cancel`, undefined, loud)))
    expect(await gauge('waiting_turns')).toBe(0)
    expect((await send(loud, await start(loud, REHEARSAL))).status).toBe(200)
  }, 60_000)

  test('and connections that last are bounded for each key', async () => {
    const { server, loud, quiet, start, send } = two
    const path = await start(loud, { ...REHEARSAL, configuration: SLOW })
    const answer = send(loud, path)
    const runs = async () =>
      (await server.call<{ data: { runId: string }[] }>('GET', `${path}/runs`, undefined, loud)).body.data
    await expect.poll(async () => (await runs()).length).toBe(1)
    const run = `${path}/runs/${(await runs())[0]?.runId}`
    const gone = new AbortController()
    // Nothing has come, so these wait; five for each turn that a key may have, half of them for one of several organizations.
    let refused = 0
    const readers = Array.from({ length: 60 }, async () => {
      const { status } = await fetch(`${server.url}${run}/events`, { headers: loud, signal: gone.signal })
      if (status === 429) refused++
    })
    // Of the forty in all these and the turn have half.
    await expect.poll(() => refused).toBe(60 - 19)
    expectError(await server.call('GET', `${run}/events`, undefined, loud), 'rate_limited')
    expect((await send(quiet, await start(quiet, REHEARSAL))).status).toBe(200)
    gone.abort()
    await Promise.allSettled(readers)
    // What ends a turn is never refused for it.
    expect((await server.call('POST', `${run}/cancel`, undefined, loud)).status).toBe(200)
    await answer
    await expect.poll(async () => (await send(loud, await start(loud, REHEARSAL))).status).toBe(200)
  }, 60_000)
})

onEveryDatabase('what is done behind turns and beside them', (kind) => {
  test('titles of one organization are made while those of another are held up', async () => {
    const provider = await startProviderServer()
    const gate = Promise.withResolvers<void>()
    provider.always(({ body }) => {
      const isLoud = JSON.stringify(body).includes('loud words')
      return isLoud ? { ...chatReply(['A title']), before: gate.promise } : chatReply(['A quiet title'])
    })
    const { server, loud, quiet, start } = await startWithTwo(kind, {
      ...{ OPENAI_COMPATIBLE_BASE_URL: `${provider.url}/v1`, DRAMATIS_TITLE_MODEL: 'openai-compatible:titles' },
    })
    for (let n = 0; n < 20; n++) await start(loud, { ...REHEARSAL, message: 'loud words' })
    const path = await start(quiet, { ...REHEARSAL, message: 'soft words' })
    const name = async () => (await server.call('GET', path, undefined, quiet)).body['conversationName']
    await expect.poll(name, { timeout: 10_000 }).toBe('A quiet title')
    expect(provider.requests.filter(({ body }) => JSON.stringify(body).includes('loud words'))).toHaveLength(8)
    gate.resolve()
    await server.close()
    await provider.close()
  }, 60_000)

  test('calls of tools of one organization go out while those of another hang', async () => {
    const service = await startToolServer()
    service.on('/hang', () => {})
    const { server, loud, quiet, start, send } = await startWithTwo(kind, { DRAMATIS_ALLOW_PRIVATE_HOSTS: '127.0.0.1' })
    const withCalls = (name: string, calls: number) => ({
      ...REHEARSAL,
      configuration: {
        tools: [
          {
            ...{ type: 'http', name, description: 'Does it.', inputSchema: { type: 'object' }, method: 'POST' },
            url: `${service.url}/${name}`,
          },
        ],
        rehearsal: { text: 'Done.', toolCalls: [Array.from({ length: calls }, () => ({ name }))] },
      },
    })
    const paths = await Promise.all(Array.from({ length: 10 }, () => start(loud, withCalls('hang', 16))))
    const hanging = paths.map((path) => send(loud, path))
    const hung = () => service.requests.filter(({ path }) => path === '/hang').length
    await expect.poll(hung, { timeout: 20_000 }).toBe(128)
    expect((await send(quiet, await start(quiet, withCalls('look', 2)))).status).toBe(200)
    expect(service.requests.filter(({ path }) => path === '/look')).toHaveLength(2)
    expect(hung()).toBe(128)
    for (const path of paths) {
      const { data } = (await server.call<{ data: { runId: string }[] }>('GET', `${path}/runs`, undefined, loud)).body
      await server.call('POST', `${path}/runs/${data[0]?.runId}/cancel`, undefined, loud)
    }
    await Promise.all(hanging)
    await server.close()
    await service.close()
  }, 60_000)

  test('long reads of one organization do not stand before those of another', async () => {
    const { server, organizations } = await startWithTwo(kind)
    const { database } = server.app.services
    const query = database.dialect.builder.selectFrom('organization').selectAll().compile()
    let theirs = 0
    const all = Array.from({ length: 400 }, () => database.scan(query, organizations.loud.id).then(() => theirs++))
    await database.scan(query, organizations.quiet.id)
    // In order of their coming it would have been the last.
    expect(theirs).toBeLessThan(350)
    await Promise.all(all)
    await server.close()
  })

  test('erasures in a loop hold up nobody’s turn, and as many as may are under way', async () => {
    const { server, loud, quiet, organizations, start, send } = await startWithTwo(kind)
    const path = await start(quiet, REHEARSAL)
    let isOver = false
    let erased = 0
    const erasing = Array.from({ length: 4 }, async () => {
      while (!isOver) {
        const victim = await start(loud, { ...REHEARSAL, systemMessage: 'x'.repeat(10_000) })
        const answer = server.call('DELETE', `${victim}?erase=true`, undefined, loud)
        // The last one may wait for its turn when the server closes.
        answer.then(({ status }) => {
          if (status === 204) erased++
        })
        await Promise.race([answer, new Promise((resolve) => setTimeout(resolve, 1_000))])
      }
    })
    await expect.poll(() => erased, { timeout: 20_000 }).toBeGreaterThan(2)
    for (let n = 0; n < 10; n++) expect((await send(quiet, path)).status).toBe(200)
    isOver = true
    await Promise.all(erasing)

    const gate = Promise.withResolvers<void>()
    const { services } = server.app
    const erasures = createEraseService({
      ...{ ...services, database: { ...services.database, scrub: () => gate.promise } },
      ...{ turns: { stopAll: async () => {} }, erasers: [] },
    })
    const ids = await Promise.all(Array.from({ length: 101 }, () => start(loud, REHEARSAL)))
    const idOf = (victim: string) => victim.slice('/conversations/'.length)
    const waiting = ids.slice(0, 100).map((victim) => erasures.eraseConversation(organizations.loud.id, idOf(victim)))
    await expect(erasures.eraseConversation(organizations.loud.id, idOf(ids[100] as string))).rejects.toMatchObject({
      ...{ code: 'rate_limited', refusedBy: 'erasures' },
    })
    const other = erasures.eraseConversation(organizations.quiet.id, idOf(path))
    gate.resolve()
    await Promise.all([...waiting, other])
    expect((await server.call('GET', path, undefined, quiet)).status).toBe(404)
    await server.close()
  }, 60_000)
})

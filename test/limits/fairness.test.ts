import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { SCOPES } from '../../server/src/http/requests/caller.ts'
import { type Answer, expectError, type Json, type RunningApp } from '../support/app.ts'
import { onEveryDatabase } from '../support/databases.ts'
import { chatReply, type ProviderServer, startProviderServer } from '../support/provider-server.ts'
import { startToolServer, type ToolServer } from '../support/tool-server.ts'
import { startWithTwo } from '../support/two-organizations.ts'

type Headers = { 'x-hl-api-key': string }

const REHEARSAL = { aiSystem: 'rehearsal', model: 'rehearsal' }
const MODEL = { aiSystem: 'openai-compatible', model: 'm' }
const SLOW = { rehearsal: { text: 'too late', delayMs: 60_000 } }

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
  })

  test('and that is really down is noticed also by a single caller', async () => {
    const { quiet, start, send } = two
    provider.always({ status: 503 })
    const fallbacks = [REHEARSAL]
    const path = await start(quiet, { ...MODEL, model: 'down', configuration: { fallbacks } })
    for (let n = 0; n < 4; n++) expect((await send(quiet, path)).status).toBe(200)
    const asked = provider.requests.length
    expect((await send(quiet, path)).status).toBe(200)
    expect(provider.requests.length).toBe(asked)
  })
})

onEveryDatabase('places for turns', (kind) => {
  let service: ToolServer
  let two: Awaited<ReturnType<typeof startWithTwo>>
  const env = {
    DRAMATIS_RUNNING_TURNS_PER_KEY: '8',
    DRAMATIS_RUNNING_TURNS: '8',
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
      name: 'second',
      scopes: SCOPES,
      expiresAt: null,
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
      type: 'http',
      name: 'pay',
      description: 'Pays.',
      inputSchema: { type: 'object' },
      method: 'POST',
      url: `${service.url}/pay`,
      requiresApproval: true,
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
  })

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
  })
})

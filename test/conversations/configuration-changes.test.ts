import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { expectError, type Json, type RunningApp, startApp } from '../support/app.ts'
import { onEveryDatabase } from '../support/databases.ts'
import { type ProviderServer, startProviderServer } from '../support/provider-server.ts'

type Sent = { messages: { content: string }[]; temperature?: number; max_tokens?: number }

onEveryDatabase('the configuration of a conversation', (kind) => {
  let server: RunningApp
  let provider: ProviderServer
  beforeAll(async () => {
    provider = await startProviderServer()
    server = await startApp(kind, { OPENAI_COMPATIBLE_BASE_URL: `${provider.url}/v1` })
  })
  afterAll(async () => {
    await server.close()
    await provider.close()
  })
  beforeEach(() => {
    provider.requests.length = 0
  })

  const start = async (configuration: Json | null = { temperature: 0.2, maxTokens: 300 }) => {
    const body = { aiSystem: 'openai-compatible', model: 'm', configuration }
    return (await server.call<{ conversationId: string }>('POST', '/conversations', body)).body.conversationId
  }
  const say = async (id: string, message: string) =>
    expect((await server.call('POST', `/conversations/${id}/chat`, { message })).status).toBe(200)
  const change = (id: string, configuration: unknown) =>
    server.call<{ configuration: Json | null }>('PATCH', `/conversations/${id}/update`, { configuration })
  const lastSent = () => provider.requests.at(-1)?.body as Sent | undefined

  test('can be changed, member by member, and counts from the next turn on', async () => {
    const id = await start()
    await say(id, 'One')
    await say(id, 'Two')
    const answer = await change(id, { temperature: 0.9, contextWindow: 2_048 })
    expect([answer.status, answer.body.configuration]).toEqual([
      200,
      { temperature: 0.9, maxTokens: 300, contextWindow: 2_048 },
    ])
    await say(id, 'Three')
    expect([lastSent()?.temperature, lastSent()?.max_tokens, lastSent()?.messages.length]).toEqual([0.9, 300, 5])
    expect((await change(id, null)).body.configuration).toBeNull()
    await say(id, 'Four')
    expect(lastSent()?.temperature).toBeUndefined()
  })

  test('can be given a smaller window when the talk has become too long for its model', async () => {
    const id = await start(null)
    for (let n = 0; n < 4; n++) await say(id, `Message ${n} ${'words of the talk '.repeat(100)}`)
    await change(id, { contextWindow: 2_048, maxTokens: 500 })
    await say(id, 'Still there?')
    expect(lastSent()?.messages.length).toBeLessThan(8)
    expect(lastSent()?.messages.at(-1)?.content).toBe('Still there?')
  })

  test('can be changed before anything was said', async () => {
    const id = await start(null)
    expect((await change(id, { temperature: 0.5 })).status).toBe(200)
    await say(id, 'One')
    expect(lastSent()?.temperature).toBe(0.5)
  })

  test.each([
    [{ temperature: 9 }, 'bad_request', 'configuration.temperature'],
    [{ contextWindow: 3 }, 'bad_request', 'configuration.contextWindow'],
    [{ timeouts: { totalMs: 3_600_000 } }, 'bad_request', 'configuration.timeouts.totalMs'],
    ['x', 'bad_request', 'configuration'],
  ] as const)('%j is refused as it is at the beginning', async (configuration, code, field) => {
    const id = await start()
    const error = expectError(await change(id, configuration), code)
    expect(error.details.map((detail) => detail.field)).toContain(field)
  })
})

import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  ADMIN_KEY,
  type Answer,
  createConversation,
  createPersona,
  expectError,
  type Json,
  parseSse,
  type RunningApp,
} from '../support/app.ts'
import { startAppWithProvider } from '../support/app-with-provider.ts'
import { onEveryDatabase } from '../support/databases.ts'
import { fixtureReply, type ProviderServer } from '../support/provider-server.ts'

type Conversation = { conversationId: string; chatMessages: { role: string; content: string }[]; totalTokens: number }

const PROVIDER_KEY = 'sk-secret-of-the-provider'
const NOWHERE = '01890000-0000-7000-8000-000000000000'
const ENDPOINTS = ['chat', 'continue-sync', 'chat-sse', 'continue-sse', 'chat-http2', 'continue']

onEveryDatabase('errors', (kind) => {
  let server: RunningApp
  let provider: ProviderServer
  beforeAll(async () => {
    ;({ server, provider } = await startAppWithProvider(kind, {
      OPENAI_COMPATIBLE_API_KEY: PROVIDER_KEY,
      DRAMATIS_BODY_LIMIT: '200000',
    }))
  })
  afterAll(() => server.close())

  const read = async (id: string) => (await server.call<Conversation>('GET', `/conversations/${id}`)).body
  const general = async (fields: Json) => {
    const answer = await server.call<Conversation>('POST', '/conversations', {
      aiSystem: 'rehearsal',
      model: 'rehearsal',
      ...fields,
    })
    expect(answer.status).toBe(200)
    return answer.body.conversationId
  }
  const expectRunError = (answer: Answer<unknown>, code: Parameters<typeof expectError>[1], conversationId: string) => {
    const error = expectError(answer, code)
    expect(error).toMatchObject({ conversationId, runId: expect.stringMatching(/^[0-9a-f-]{36}$/) })
    expect(answer.text).not.toContain(PROVIDER_KEY)
    return error
  }

  test.each(ENDPOINTS)('of a model that fails before any text are a 502 on %s', async (endpoint) => {
    const id = await createConversation(server, { failure: 'cut', failAtToken: 0, text: 'a b' })
    expectRunError(
      await server.call('PATCH', `/conversations/${id}/${endpoint}`, { message: 'Hi' }),
      'provider_error',
      id,
    )
    expect((await read(id)).chatMessages.map(({ role }) => role)).toEqual(['system', 'assistant', 'user'])
  })

  test.each(ENDPOINTS)('of a model that is silent are a 504 on %s', async (endpoint) => {
    const configuration = { rehearsal: { failure: 'hang', failAtToken: 0 }, timeouts: { firstTokenMs: 30 } }
    const id = await general({ configuration })
    expectRunError(
      await server.call('PATCH', `/conversations/${id}/${endpoint}`, { message: 'Hi' }),
      'provider_timeout',
      id,
    )
  })

  test.each<[string | number, RegExp]>([
    ['openai', /OPENAI_API_KEY/],
    ['AzureOpenAi', /AZURE_OPENAI_API_KEY/],
    [3, /ANTHROPIC_API_KEY/],
    ['GoogleGemini', /GOOGLE_GENERATIVE_AI_API_KEY|GEMINI_API_KEY/],
    ['mistral', /MISTRAL_API_KEY/],
    ['groq', /GROQ_API_KEY/],
    ['cohere', /COHERE_API_KEY/],
    ['bedrock', /AWS_/],
  ])('of %s that is not configured are a 503 that names the variable', async (aiSystem, variable) => {
    const id = await general({ aiSystem, model: 'some-model' })
    for (const endpoint of ['chat', 'chat-sse', 'chat-http2']) {
      const answer = await server.call('PATCH', `/conversations/${id}/${endpoint}`, { message: 'Hi' })
      expect(expectRunError(answer, 'unavailable', id).message).toMatch(variable)
    }
  })

  test('of a turn that is cancelled before any text are a 499', async () => {
    for (const endpoint of ['chat', 'chat-sse', 'chat-http2']) {
      const id = await createConversation(server, { delayMs: 60_000, text: 'never' })
      const first = server.call('PATCH', `/conversations/${id}/${endpoint}`, { message: 'one' })
      let runId: string | undefined
      await expect
        .poll(async () => {
          const running = await read(id)
          if (running.chatMessages.at(-1)?.role !== 'user') return 0
          const second = await server.call('PATCH', `/conversations/${id}/chat`, { message: 'two' })
          runId = expectError(second, 'conflict').runId
          return second.status
        })
        .toBe(409)
      const receipt = await server.call('POST', `/conversations/${id}/runs/${runId}/cancel`)
      expect(receipt.body).toMatchObject({ runId, status: 'cancelled', finishReason: 'cancelled', textLength: 0 })
      expect(expectRunError(await first, 'cancelled', id).runId).toBe(runId)
      expect((await read(id)).chatMessages.map(({ role }) => role)).toEqual(['system', 'assistant', 'user'])
    }
  })

  test('of a model that the provider refuses are a 422, and nothing of the key is told', async () => {
    provider.script([fixtureReply('chat-completions/error-404.json', { status: 404 })])
    const id = await general({ aiSystem: 'openai-compatible', model: 'no-such-model' })
    const refused = await server.call('PATCH', `/conversations/${id}/chat`, { message: 'Hi' })
    expectRunError(refused, 'unprocessable_entity', id)
    expect(JSON.stringify(server.logged)).not.toContain(PROVIDER_KEY)
  })

  test("of the provider's key are a 502 or 503 that says whose, and nothing of the key is told", async () => {
    provider.script([fixtureReply('chat-completions/error-401.json', { status: 401 })])
    const id = await general({ aiSystem: 'openai-compatible', model: 'some-model' })
    const answer = await server.call('PATCH', `/conversations/${id}/chat`, { message: 'Hi' })
    expect([502, 503]).toContain(answer.status)
    expectRunError(answer, answer.status === 502 ? 'provider_error' : 'unavailable', id)
  })

  test('of a failed first message name the conversation, which stays', async () => {
    const persona = await createPersona(server, {}, { failAtToken: 0, failure: 'cut' })
    for (const stream of [false, true]) {
      const body = { personaId: persona['personaId'], message: 'Hi there', stream }
      const error = expectError(await server.call('POST', '/conversations/persona', body), 'provider_error')
      const conversation = await read(error.conversationId ?? '')
      expect(conversation.chatMessages.at(-1)).toMatchObject({ role: 'user', content: 'Hi there' })
      expect(error.runId).toMatch(/^[0-9a-f-]{36}$/)
    }
  })

  test('of a whole reply that fails after some text are a 502, and the text stays', async () => {
    const id = await createConversation(server, { text: 'a b c', failAtToken: 2, failure: 'cut' })
    expectRunError(await server.call('PATCH', `/conversations/${id}/chat`, { message: 'Hi' }), 'provider_error', id)
    expect((await read(id)).chatMessages.at(-1)).toMatchObject({ role: 'assistant', content: 'a b' })
    const persona = await createPersona(server, {}, { text: 'a b c', failAtToken: 2, failure: 'cut' })
    const started = await server.call('POST', '/conversations/persona', {
      personaId: persona['personaId'],
      message: 'Hi',
    })
    const error = expectError(started, 'provider_error')
    expect((await read(error.conversationId ?? '')).chatMessages.at(-1)).toMatchObject({ content: 'a b' })
  })

  test('between tokens end the stream with the code of a timeout', async () => {
    const configuration = {
      rehearsal: { text: 'a b c', failure: 'hang', failAtToken: 1 },
      timeouts: { betweenTokensMs: 30 },
    }
    const id = await general({ configuration })
    const sse = await server.call('PATCH', `/conversations/${id}/chat-sse`, { message: 'Hi' })
    const events = parseSse(sse.text)
    expect(JSON.parse(events.at(-2)?.data ?? '')).toMatchObject({
      error: { code: 'provider_timeout', conversationId: id },
    })
    const array = await server.call<Json[]>('PATCH', `/conversations/${id}/chat-http2`, { message: 'Hi' })
    expect(array.body.at(-1)).toMatchObject({ choice: { finish_reason: 'error' }, error: { code: 'provider_timeout' } })
    // A whole reply that breaks off is a 502, whatever broke it off.
    expectRunError(await server.call('PATCH', `/conversations/${id}/chat`, { message: 'Hi' }), 'provider_error', id)
  })

  test('of every kind carry a request id of their own', async () => {
    const id = await createConversation(server)
    const requests: [string, string, unknown?, Record<string, string>?][] = [
      ['GET', '/conversations'],
      ['GET', '/nothing'],
      ['GET', `/conversations/${NOWHERE}`],
      ['GET', '/conversations/x'],
      ['GET', '/personas', undefined, { 'x-hl-api-key': 'wrong' }],
      ['POST', '/personas', '{'],
      ['POST', '/personas', 'x', { 'content-type': 'text/plain' }],
      ['POST', '/personas', 'x'.repeat(200_001)],
      ['PATCH', `/conversations/${id}/chat`, { message: 'x' }],
      ['PATCH', `/conversations/${id}/chat-sse`, { message: 'x' }],
      ['PATCH', `/conversations/${id}/chat-http2`, { message: 'x' }],
      ['DELETE', `/conversations/${id}`],
      ['GET', `/conversations/${id}`],
      ['GET', '/healthz'],
      ['HEAD', '/healthz'],
      ['OPTIONS', '/conversations'],
    ]
    const ids = new Set<string | null>()
    for (const request of requests) {
      const answer = await server.call(...request)
      const id = answer.headers.get('x-request-id')
      expect([...request.slice(0, 2), id]).toEqual([...request.slice(0, 2), expect.stringMatching(/^[0-9a-f-]{36}$/)])
      ids.add(id)
    }
    expect(ids.size).toBe(requests.length)
    // A caller's own is kept, so that both sides find the request in their logs, if it can stand in a header and a log.
    const sent = await server.call('GET', '/personas', undefined, { 'x-request-id': 'mine 1' })
    expect(sent.headers.get('x-request-id')).toBe('mine 1')
    expect(server.logged.some(({ requestId }) => requestId === 'mine 1')).toBe(true)
    for (const odd of ['x'.repeat(129), 'caf\u00e9', ' ']) {
      const other = await server.call('GET', '/personas', undefined, { 'x-request-id': odd })
      expect(other.headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/)
    }
  })

  test('and what people say stay out of the log', async () => {
    const id = await createConversation(server, { text: 'reply-that-is-private' })
    await server.call('PATCH', `/conversations/${id}/chat`, { message: 'message-that-is-private' })
    await server.call('GET', '/conversations?metadata.a=query-that-is-private')
    await server.call('POST', '/conversations', '{"aiSystem":"body-that-is-private')
    expect(server.logged.length).toBeGreaterThan(0)
    expect(JSON.stringify(server.logged)).not.toMatch(/that-is-private/)
    expect(JSON.stringify(server.logged)).not.toContain(ADMIN_KEY)
  })

  test('of a deleted conversation are a 410 for everything under it', async () => {
    const id = await createConversation(server)
    const chat = await server.call<{ runId: string; messageId: string }>('PATCH', `/conversations/${id}/chat`, {
      message: 'Hi',
    })
    expect((await server.call('DELETE', `/conversations/${id}`)).status).toBe(204)
    const c = `/conversations/${id}`
    const requests: [string, string, Json?][] = [
      ['GET', c],
      ['DELETE', c],
      ['PATCH', `${c}/set-active`, { isActive: true }],
      ['PATCH', `${c}/set-metadata`, { metadata: {} }],
      ['PATCH', `${c}/set-conversation-name`, { conversationName: 'x' }],
      ['PATCH', `${c}/set-conversation-status`, { conversationStatus: 'x' }],
      ['PATCH', `${c}/update`, {}],
      ['PATCH', `${c}/set-score`, { score: 1 }],
      ['PATCH', `${c}/set-score/${chat.body.messageId}`, { score: 1 }],
      ['POST', `${c}/runs/${chat.body.runId}/cancel`],
      ...ENDPOINTS.map((name): [string, string, Json] => ['POST', `${c}/${name}`, { message: 'Hi' }]),
    ]
    for (const [method, path, body] of requests)
      expectError(await server.call(method, path, body), 'gone', `${method} ${path}`)
    expectError(await server.call('PATCH', `${c}/chat`, {}), 'bad_request')
  })
})

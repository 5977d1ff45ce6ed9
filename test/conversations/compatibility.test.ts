import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { NIL_UUID } from '../../server/src/lib/ids.ts'
import { AI_SYSTEMS } from '../../server/src/models/ai-systems.ts'
import {
  ADMIN_KEY,
  createConversation,
  createPersona,
  expectError,
  type Json,
  parseSse,
  type RunningApp,
  startApp,
} from '../support/app.ts'
import { onEveryDatabase } from '../support/databases.ts'

const run = promisify(execFile)
const hasCurl = await run('curl', ['--version']).then(
  () => true,
  () => false,
)

/** The request of the API reference, as it is printed there. */
const REFERENCE_REQUEST = `curl --request POST \\
  --url https://api.hyperleapai.com/conversations/persona \\
  --header 'Content-Type: application/json' \\
  --header 'x-hl-api-key: <api-key>' \\
  --data '{
  "personaId": "3c90c3cc-0d44-4b50-8888-8dd25736052a",
  "personaVersionId": "3c90c3cc-0d44-4b50-8888-8dd25736052b",
  "replacements": {},
  "metadata": {},
  "stream": true,
  "externalUserId": "<string>"
}'`

/** Every field of `ChatEntryResponse`, and the types it may have. */
const CONVERSATION_FIELDS: Record<string, string[]> = {
  conversationId: ['string'],
  aiSystem: ['string', 'null'],
  model: ['string', 'null'],
  personaId: ['string', 'null'],
  personaVersionId: ['string', 'null'],
  conversationStatus: ['string', 'null'],
  conversationName: ['string', 'null'],
  chatMessages: ['array', 'null'],
  chatMessagesCount: ['integer', 'null'],
  chatStarted: ['boolean', 'null'],
  areChatMessagesInBlob: ['boolean', 'null'],
  chatMessagesBlobUri: ['string', 'null'],
  configuration: ['object', 'null'],
  metadata: ['object', 'null'],
  externalUserId: ['string', 'null'],
  isActive: ['boolean'],
  isDeleted: ['boolean'],
  promptTokens: ['integer', 'null'],
  completionTokens: ['integer', 'null'],
  totalTokens: ['integer', 'null'],
}
const MESSAGE_FIELDS: Record<string, string[]> = {
  role: ['string'],
  content: ['string', 'null'],
  toolCallId: ['string', 'null'],
  name: ['string', 'null'],
  messageId: ['string'],
  timestamp: ['string'],
  feedbacks: ['array'],
  promptTokens: ['integer'],
  completionTokens: ['integer'],
  totalTokens: ['integer'],
  conversationRunId: ['string'],
}
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

function typeOf(value: unknown): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'array'
  return Number.isInteger(value) ? 'integer' : typeof value
}

function expectFields(value: Json, fields: Record<string, string[]>): void {
  expect(Object.keys(value).sort()).toEqual(Object.keys(fields).sort())
  for (const [name, types] of Object.entries(fields))
    expect([name, types]).toEqual([name, expect.arrayContaining([typeOf(value[name])])])
}

onEveryDatabase('clients of the compatible API', (kind) => {
  let server: RunningApp
  let personaId: string
  let personaVersionId: string
  let conversationId: string
  beforeAll(async () => {
    server = await startApp(kind)
    const persona = await createPersona(server, {}, { text: 'One two three.' })
    personaId = persona['personaId'] as string
    personaVersionId = persona['personaVersionId'] as string
    conversationId = await createConversation(server)
  })
  afterAll(() => server.close())

  const expectConversation = (conversation: Json) => {
    expectFields(conversation, CONVERSATION_FIELDS)
    for (const message of conversation['chatMessages'] as Json[]) {
      expectFields(message, MESSAGE_FIELDS)
      expect(message['messageId']).toMatch(UUID)
      expect(message['conversationRunId']).toMatch(UUID)
      expect(new Date(message['timestamp'] as string).toISOString()).toBe(message['timestamp'])
    }
  }

  test.skipIf(!hasCurl)('send what the reference prints', async () => {
    const command = REFERENCE_REQUEST.replace('https://api.hyperleapai.com', server.url)
      .replace('<api-key>', ADMIN_KEY)
      .replace('3c90c3cc-0d44-4b50-8888-8dd25736052a', personaId)
      .replace('3c90c3cc-0d44-4b50-8888-8dd25736052b', personaVersionId)
    const { stdout } = await run('sh', ['-c', command])
    const conversation = JSON.parse(stdout) as Json
    expectConversation(conversation)
    expect(conversation).toMatchObject({ personaId, personaVersionId, externalUserId: '<string>', metadata: {} })
  })

  test('get exactly the twenty and the eleven fields, wherever a conversation is answered', async () => {
    const created = await server.call('POST', '/conversations/persona', { personaId })
    const c = `/conversations/${created.body['conversationId']}`
    const messages = (created.body['chatMessages'] as { messageId: string }[])[1]
    const answers = [
      created,
      await server.call('POST', '/conversations', { aiSystem: 0, model: 'default' }),
      await server.call('POST', '/conversations/persona', { personaId, message: 'Hi' }),
      await server.call('GET', c),
      await server.call('PATCH', `${c}/set-active`, { isActive: true }),
      await server.call('PATCH', `${c}/set-metadata`, { metadata: { a: 1 } }),
      await server.call('PATCH', `${c}/set-conversation-name`, { conversationName: 'x' }),
      await server.call('PATCH', `${c}/set-conversation-status`, { conversationStatus: 'x' }),
      await server.call('PATCH', `${c}/update`, {}),
      await server.call('PATCH', `${c}/set-score`, { score: 1 }),
      await server.call('PATCH', `${c}/set-score/${messages?.messageId}`, { score: 1 }),
    ]
    for (const { body } of answers) expectConversation(body)
    const streamed = await server.call('POST', '/conversations/persona', { personaId, message: 'Hi', stream: true })
    expectConversation(JSON.parse(parseSse(streamed.text)[0]?.data ?? ''))
    const page = await server.call<{ data: Json[] }>('GET', '/conversations?includeMessages=true')
    expect(Object.keys(page.body).sort()).toEqual(['continuationToken', 'data'])
    for (const conversation of page.body.data) expectConversation(conversation)
    for (const conversation of (await server.call<{ data: Json[] }>('GET', '/conversations')).body.data) {
      expectFields(conversation, CONVERSATION_FIELDS)
      expect(conversation['chatMessages']).toBeNull()
    }
  })

  test('get a whole reply in the shape of GenAiChatResponse', async () => {
    const answer = await server.call('PATCH', `/conversations/${conversationId}/chat`, { message: 'Hi' })
    const known = [
      'id',
      'object',
      'usage',
      'created',
      'choices',
      'messageId',
      'runId',
      'httpRequestId',
      'citations',
      'prompt_moderations',
    ]
    expect(Object.keys(answer.body).filter((name) => !known.includes(name))).toEqual([])
    expect(answer.body['httpRequestId']).toBe(answer.headers.get('x-request-id'))
    expect(Number.isInteger(answer.body['created'])).toBe(true)
    const { prompt_tokens, completion_tokens, total_tokens } = answer.body['usage'] as Record<string, number>
    expect(total_tokens).toBe((prompt_tokens ?? 0) + (completion_tokens ?? 0))
  })

  test.each(['?stream=true', '?stream=false', '?stream=maybe', '?stream=', '?stream=true&stream=false'])(
    'may put the query %s on a whole reply',
    async (query) => {
      const answer = await server.call('PATCH', `/conversations/${conversationId}/chat${query}`, { message: 'Hi' })
      expect(answer.body).toMatchObject({ choices: [{ message: { role: 'assistant', content: 'One two three.' } }] })
    },
  )

  test.each([
    'application/json',
    'application/json; charset=utf-8',
    'application/json;charset=UTF-8',
    'application/json; utf-8',
    'application/json;',
    'application/json; charset',
    'application/json; charset="utf-8"; x=y',
    'Application/JSON',
    'text/json',
    'text/json; charset=utf-8',
    'application/*+json',
    'application/*+json; charset=utf-8',
    'application/vnd.x+json; charset=utf-8',
    'application/merge-patch+json',
    'application/problem+json',
  ])('may call JSON %s', async (type) => {
    const headers = { 'content-type': type }
    const created = await server.call('POST', '/conversations/persona', { personaId }, headers)
    expect(created.status).toBe(200)
    const chat = await server.call('PATCH', `/conversations/${conversationId}/chat`, { message: 'Hi' }, headers)
    expect(chat.status).toBe(200)
    const sse = await server.call('PATCH', `/conversations/${conversationId}/chat-sse`, { message: 'Hi' }, headers)
    expect(sse.text).toContain('[DONE]')
    expectError(await server.call('POST', '/conversations/persona', '{', headers), 'bad_request')
  })

  test.each([
    'text/plain',
    'text/plain; charset=utf-8',
    'application/xml',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'application/jsonx',
    'application/octet-stream',
    'json',
    'x',
  ])('may not call JSON %s, but an empty body may have it', async (type) => {
    const headers = { 'content-type': type }
    expectError(await server.call('POST', '/conversations/persona', { personaId }, headers), 'unsupported_media_type')
    const empty = await server.call('PATCH', `/conversations/${conversationId}/update`, '', headers)
    expect(empty.status).toBe(200)
    const missing = await server.call('POST', '/conversations/persona', '', headers)
    expect(expectError(missing, 'bad_request').details).toEqual([{ field: 'personaId', issue: 'is required' }])
  })

  test('may leave the type of an empty body out, and send types where there is no body', async () => {
    const url = `${server.url}/conversations/${conversationId}`
    const headers = { 'x-hl-api-key': ADMIN_KEY }
    expect((await fetch(`${url}/update`, { method: 'PATCH', headers })).status).toBe(200)
    const typed = { ...headers, 'content-type': 'application/json' }
    expect((await fetch(url, { headers: typed })).status).toBe(200)
    expect((await fetch(`${server.url}/personas`, { headers: typed })).status).toBe(200)
    const doomed = await createConversation(server)
    const deleted = await fetch(`${server.url}/conversations/${doomed}`, { method: 'DELETE', headers: typed })
    expect(deleted.status).toBe(204)
    const another = await createConversation(server)
    const withBody = await fetch(`${server.url}/conversations/${another}`, {
      method: 'DELETE',
      headers: typed,
      body: '{}',
    })
    expect(withBody.status).toBe(204)
    const untyped = { method: 'POST', headers, body: new TextEncoder().encode(JSON.stringify({ personaId })) }
    expect((await fetch(`${server.url}/conversations/persona`, untyped)).status).toBe(415)
  })

  test.each(['', '/api', '/app'])(
    'reach everything under %s/conversations and /persona-conversations',
    async (prefix) => {
      for (const base of [`${prefix}/conversations`, `${prefix}/persona-conversations`]) {
        const created = await server.call('POST', `${base}/persona`, { personaId, externalUserId: 'somebody' })
        expect([base, created.status]).toEqual([base, 200])
        const c = `${base}/${created.body['conversationId']}`
        expect((await server.call('POST', base, { aiSystem: 'rehearsal', model: 'rehearsal' })).status).toBe(200)
        expect((await server.call('GET', c)).body['conversationId']).toBe(created.body['conversationId'])
        for (const list of [
          '',
          '?pageSize=1',
          '/',
          '/persona/any',
          `/persona/${personaId}`,
          '/user/somebody?pageSize=2',
        ]) {
          expect([list, (await server.call('GET', base + list)).status]).toEqual([list, 200])
        }
        for (const method of ['PATCH', 'POST']) {
          for (const name of ['chat', 'continue-sync', 'chat-sse', 'continue-sse', 'chat-http2', 'continue']) {
            const answer = await server.call(method, `${c}/${name}`, { message: 'Hi' })
            expect([method, name, answer.status]).toEqual([method, name, 200])
            const type = name.endsWith('sse') ? 'text/event-stream' : 'application/json'
            expect(answer.headers.get('content-type')).toContain(type)
          }
        }
        expect((await server.call('PATCH', `${c}/set-conversation-name`, { conversationName: 'x' })).status).toBe(200)
        expect((await server.call('DELETE', c)).status).toBe(204)
      }
      expect((await server.call('GET', `${prefix}/personas`)).status).toBe(200)
      expect((await server.call('GET', `${prefix}/personas/${personaId}/${personaVersionId}`)).status).toBe(200)
      expect((await server.call('GET', `${prefix}/api-keys`)).status).toBe(200)
      expect((await server.call('GET', `${prefix}/models`)).status).toBe(200)
    },
  )

  test.each(['', '/api', '/app'])('start by %s/conversations with or without a persona', async (prefix) => {
    for (const base of [
      `${prefix}/conversations`,
      `${prefix}/apps/3c90c3cc-0d44-4b50-8888-8dd25736052a/conversations`,
    ]) {
      const post = (body: unknown, path = '') => server.call('POST', base + path, body)
      const withPersona = await post({ personaId, replacements: { name: 'Ada' }, externalUserId: 'app-user' })
      expect([base, withPersona.status, withPersona.body]).toMatchObject([
        ...[base, 200],
        {
          personaId,
          personaVersionId,
          aiSystem: 'rehearsal',
          externalUserId: 'app-user',
          chatMessages: [{ content: 'You are Ada.' }, { content: 'Hello from Ada.' }],
        },
      ])
      expectConversation(withPersona.body)
      const same = { personaId, replacements: { name: 'Ada' }, personaVersionId, metadata: { a: 1 }, message: 'Hi' }
      const answered = await post(same)
      expect(answered.body).toMatchObject({
        metadata: { a: 1 },
        chatMessages: [{}, {}, {}, { content: 'One two three.' }],
      })
      expect(parseSse((await post({ ...same, stream: true })).text)[0]?.event).toBe('conversation')
      for (const body of ['', {}, { personaId: null, aiSystem: null, model: null }, { personaId: NIL_UUID }]) {
        const general = await post(body)
        expect([general.status, general.body]).toMatchObject([
          200,
          { personaId: null, aiSystem: 'rehearsal', model: 'rehearsal', chatMessages: [] },
        ])
        const c = `/${general.body['conversationId']}`
        for (const name of ['chat', 'continue-sync', 'chat-sse', 'continue-sse', 'chat-http2', 'continue']) {
          expect([name, (await post({ message: 'Hi' }, `${c}/${name}`)).status]).toEqual([name, 200])
        }
        expect((await server.call('GET', base + c)).body['conversationId']).toBe(general.body['conversationId'])
      }
      // One of the two is enough: the other is what it is for that system, or in general.
      expect((await post({ aiSystem: 'openai' })).body).toMatchObject({ aiSystem: 'openai', model: 'gpt-4.1-mini' })
      expect((await post({ aiSystem: 3, model: null })).body).toMatchObject({ aiSystem: 'anthropic' })
      expect((await post({ model: 'some-model' })).body).toMatchObject({ aiSystem: 'rehearsal' })
      expectError(await post({ personaId: '01890000-0000-7000-8000-000000000000' }), 'not_found')
      expectError(await post({ personaId: 'x' }), 'bad_request')
    }
  })

  test('may ask for a conversation with a persona in both ways with one Idempotency-Key', async () => {
    const body = { personaId, replacements: { name: 'Ada' } }
    const paths = ['/conversations/persona', '/conversations', '/app/apps/mine/conversations']
    const headers = { 'idempotency-key': `both-${kind.name}` }
    const made = []
    for (const path of paths) made.push((await server.call('POST', path, body, headers)).body['conversationId'])
    expect(made[0]).toMatch(UUID)
    expect(new Set(made).size).toBe(1)
    // Without a persona it is another act.
    const general = await server.call('POST', '/conversations', {}, headers)
    expect([general.status, general.body['personaId']]).toEqual([200, null])
  })

  test('find nothing else of an app', async () => {
    for (const path of [
      '/apps',
      '/apps/x',
      '/apps/x/personas',
      '/apps//conversations',
      '/apps/a%2fb/conversations',
      `/apps/${'x'.repeat(129)}/conversations`,
      '/apps/a/b/conversations',
    ]) {
      expectError(await server.call('GET', path), 'not_found', path)
    }
  })

  test.each([
    ['persona', 'personaId', /any or none/],
    ['user', 'externalUserId', /\/conversations\/user\//],
  ])('learn what is missing behind /conversations/%s', async (name, field, issue) => {
    for (const path of [
      `/conversations/${name}`,
      `/conversations/${name}/`,
      `/app/persona-conversations/${name}?pageSize=1`,
    ]) {
      const { message, details } = expectError(await server.call('GET', path), 'bad_request')
      expect(details).toEqual([{ field, issue: expect.stringMatching(issue) }])
      expect(message).toContain(field)
    }
    expectError(await server.call('GET', `/conversations/${name}`, undefined, { 'x-hl-api-key': 'no' }), 'unauthorized')
  })

  test('learn which AI systems there are', async () => {
    const named = { personaName: 'x', personaDescription: 'x', model: 'x' }
    const chain = (more: Json) => ({ ...named, aiSystem: 0, personaConfiguration: more })
    const fallbacks = [{ aiSystem: 'skynet', model: 'x' }]
    for (const [path, body, field] of [
      ['/personas', { ...named, aiSystem: 'skynet' }, 'aiSystem'],
      ['/personas', { ...named, aiSystem: 99 }, 'aiSystem'],
      ['/personas', chain({ fallbacks }), 'personaConfiguration.fallbacks.0.aiSystem'],
      ['/personas', chain({ summaryModel: fallbacks[0] }), 'personaConfiguration.summaryModel.aiSystem'],
      [`/personas/${personaId}`, { aiSystem: 'skynet' }, 'aiSystem'],
      ['/conversations', { aiSystem: 'skynet' }, 'aiSystem'],
      ['/conversations', { configuration: { fallbacks } }, 'configuration.fallbacks.0.aiSystem'],
    ] as const) {
      const { message, details } = expectError(await server.call('POST', path, body), 'bad_request')
      const issue = details[0]?.issue ?? ''
      expect([details[0]?.field, message]).toEqual([field, `${field} ${issue}`])
      for (const name of AI_SYSTEMS) expect(issue).toMatch(new RegExp(`\\b${name}\\b`))
      expect(issue).toMatch(/a number from 0 to 6$/)
    }
  })

  test('may send nulls and empty ids for what they do not set', async () => {
    const created = await server.call('POST', '/conversations/persona', {
      personaId,
      personaVersionId: null,
      replacements: null,
      metadata: null,
      stream: false,
      externalUserId: null,
    })
    expect(created.body).toMatchObject({ personaVersionId, metadata: null, externalUserId: null })
    const general = await server.call('POST', '/conversations', {
      aiSystem: 0,
      model: 'default',
      systemMessage: null,
      configuration: null,
      replacements: null,
      metadata: null,
      externalUserId: null,
      dataspaceIds: null,
    })
    expect(general.status).toBe(200)
    const nil = '00000000-0000-0000-0000-000000000000'
    const c = `/conversations/${conversationId}`
    expect((await server.call('PATCH', `${c}/set-active`, { conversationId: nil, isActive: true })).status).toBe(200)
    const persona = await server.call('POST', '/personas', {
      personaName: 'Nulls',
      personaDescription: 'x',
      aiSystem: 3,
      model: 'x',
      personaText: null,
      personaGreeting: null,
      personaTags: null,
      imageUrl: null,
      dataspaceIds: null,
      personaConfiguration: null,
      personaMetadata: null,
    })
    expect(persona.body).toMatchObject({ aiSystem: 'anthropic', personaText: null, personaConfiguration: null })
  })

  test('are told that dataspaces have no effect', async () => {
    const dataspaceIds = ['01890000-0000-7000-8000-000000000000']
    const general = await server.call('POST', '/conversations', { aiSystem: 0, model: 'default', dataspaceIds })
    expect(general.status).toBe(200)
    expect(general.headers.get('warning')).toMatch(/dataspace/i)
    const without = await server.call('POST', '/conversations', { aiSystem: 0, model: 'default', dataspaceIds: [] })
    expect(without.headers.get('warning')).toBeNull()
  })
})

import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  createKey,
  createOrganization,
  createPersona,
  expectError,
  type Json,
  type RunningApp,
  startApp,
} from '../support/app.ts'
import { onEveryDatabase } from '../support/databases.ts'

type Persona = { personaId: string; personaVersionId: string; personaName: string }
type Conversation = { conversationId: string; chatMessages: { messageId: string }[] }
type Page = { data: { conversationId: string }[]; continuationToken: string | null }

onEveryDatabase('organizations', (kind) => {
  let server: RunningApp
  /** What the other organization has, and its key. */
  let them: { 'x-hl-api-key': string }
  let theirs: { persona: Persona; conversation: Conversation; runId: string; keyId: string; token: string }
  const user = 'user-of-both'

  beforeAll(async () => {
    server = await startApp(kind)
    const other = await createOrganization(server)
    them = { 'x-hl-api-key': other.key }
    const asThem = <T>(method: string, path: string, body?: unknown) => server.call<T>(method, path, body, them)
    const persona = (
      await asThem<Persona>('POST', '/personas', {
        personaName: 'Theirs',
        personaDescription: 'Private',
        personaText: 'Their secret text',
        aiSystem: 'rehearsal',
        model: 'rehearsal',
      })
    ).body
    const start = { personaId: persona.personaId, externalUserId: user, metadata: { of: 'them' } }
    await asThem('POST', '/conversations/persona', start)
    const conversation = (await asThem<Conversation>('POST', '/conversations/persona', { ...start, message: 'Hi' }))
      .body
    const chat = await asThem<{ runId: string }>('PATCH', `/conversations/${conversation.conversationId}/chat`, {
      message: 'Again',
    })
    const keys = await asThem<{ data: { id: string }[] }>('GET', '/api-keys')
    const page = await asThem<Page>('GET', '/conversations?pageSize=1')
    theirs = {
      persona,
      conversation,
      runId: chat.body.runId,
      keyId: keys.body.data[0]?.id ?? '',
      token: page.body.continuationToken ?? '',
    }
    expect(theirs.runId).toMatch(/^[0-9a-f-]{36}$/)
    expect(theirs.keyId).not.toBe('')
    expect(theirs.token).not.toBe('')
  })
  afterAll(() => server.close())

  const readTheirs = async () =>
    JSON.stringify([
      (await server.call('GET', `/personas/${theirs.persona.personaId}`, undefined, them)).body,
      (await server.call('GET', `/conversations/${theirs.conversation.conversationId}`, undefined, them)).body,
      (await server.call('GET', '/conversations?includeMessages=true', undefined, them)).body,
    ])

  test('do not see each other by any id', async () => {
    const before = await readTheirs()
    const p = `/personas/${theirs.persona.personaId}`
    const v = `${p}/${theirs.persona.personaVersionId}`
    const c = `/conversations/${theirs.conversation.conversationId}`
    const messageId = theirs.conversation.chatMessages.at(-1)?.messageId
    const version = { aiSystem: 'rehearsal', model: 'rehearsal', personaText: 'Mine now' }
    const message = { message: 'Hello' }
    const requests: [string, string, Json?][] = [
      ['GET', p],
      ['PATCH', p, { personaName: 'Mine now' }],
      ['POST', p, version],
      ['GET', v],
      ['PATCH', v, { isActive: false }],
      ['POST', '/conversations/persona', { personaId: theirs.persona.personaId }],
      ['POST', '/conversations/persona', { personaId: theirs.persona.personaId, ...message }],
      ['GET', c],
      ['PATCH', `${c}/set-active`, { isActive: false }],
      ['PATCH', `${c}/set-metadata`, { metadata: { of: 'me' } }],
      ['PATCH', `${c}/set-conversation-name`, { conversationName: 'Mine now' }],
      ['PATCH', `${c}/set-conversation-status`, { conversationStatus: 'mine' }],
      ['PATCH', `${c}/update`, { conversationName: 'Mine now' }],
      ['PATCH', `${c}/set-score`, { score: 1 }],
      ['PATCH', `${c}/set-score/${messageId}`, { score: 1 }],
      ...['chat', 'continue-sync', 'chat-sse', 'continue-sse', 'chat-http2', 'continue'].flatMap(
        (name): [string, string, Json][] => [
          ['PATCH', `${c}/${name}`, message],
          ['POST', `${c}/${name}`, message],
        ],
      ),
      ['POST', `${c}/runs/${theirs.runId}/cancel`],
      ['DELETE', `/api-keys/${theirs.keyId}`],
      ['DELETE', c],
      ['DELETE', p],
    ]
    for (const [method, path, body] of requests) {
      const answer = await server.call(method, path, body)
      const error = expectError(answer, 'not_found', `${method} ${path}`)
      // As if it were not there: nothing of it, and nothing that tells it from an id that nobody has.
      const nobodys = path.replaceAll(/[0-9a-f]{8}-[0-9a-f-]{27}/g, '01890000-0000-7000-8000-000000000000')
      const nobodysBody =
        body && 'personaId' in body ? { ...body, personaId: '01890000-0000-7000-8000-000000000000' } : body
      expect(error).toEqual(expectError(await server.call(method, nobodys, nobodysBody), 'not_found'))
    }
    expect(await readTheirs()).toBe(before)
  })

  test('do not see each other in lists', async () => {
    const lists = [
      '/conversations?pageSize=100&includeMessages=true',
      '/conversations?metadata.of=them',
      '/conversations/persona/any',
      '/conversations/persona/none',
      `/conversations/persona/${theirs.persona.personaId}`,
      `/conversations/user/${user}`,
      '/personas?pageSize=100',
      '/personas?q=Theirs',
      '/personas/minimal?pageSize=100',
      '/api-keys',
    ]
    for (const path of lists) {
      const answer = await server.call('GET', path)
      expect(answer.status).toBe(200)
      for (const secret of [theirs.persona.personaId, theirs.conversation.conversationId, theirs.keyId, 'Theirs']) {
        expect(answer.text, path).not.toContain(secret)
      }
    }
    expect((await server.call<Page>('GET', `/conversations/user/${user}`, undefined, them)).body.data).toHaveLength(2)
  })

  test("do not accept each other's continuation tokens", async () => {
    expect(
      (await server.call('GET', `/conversations?pageSize=1&continuationToken=${theirs.token}`, undefined, them)).status,
    ).toBe(200)
    expectError(await server.call('GET', `/conversations?pageSize=1&continuationToken=${theirs.token}`), 'bad_request')
  })

  test("cannot use each other's versions and messages under an id of their own", async () => {
    const mine = (await createPersona(server)) as unknown as Persona
    const p = `/personas/${mine.personaId}`
    const versionId = theirs.persona.personaVersionId
    expectError(await server.call('GET', `${p}/${versionId}`), 'not_found')
    expectError(await server.call('PATCH', `${p}/${versionId}`, { isActive: false }), 'not_found')
    expectError(await server.call('PATCH', p, { defaultVersionId: versionId }), 'unprocessable_entity')
    const start = { personaId: mine.personaId, personaVersionId: versionId }
    expectError(await server.call('POST', '/conversations/persona', start), 'unprocessable_entity')
    const own = (await server.call<Conversation>('POST', '/conversations/persona', { personaId: mine.personaId })).body
    const messageId = theirs.conversation.chatMessages[0]?.messageId
    const c = `/conversations/${own.conversationId}`
    expectError(await server.call('PATCH', `${c}/set-score/${messageId}`, { score: 1 }), 'not_found')
    expectError(await server.call('POST', `${c}/runs/${theirs.runId}/cancel`), 'not_found')
  })

  test('use the same words for the same users without meeting', async () => {
    const reader = await createKey(server, ['conversations:read', 'conversations:write'])
    const body = { aiSystem: 'rehearsal', model: 'rehearsal', externalUserId: user, metadata: { of: 'them' } }
    const mine = (await server.call<Conversation>('POST', '/conversations', body, reader)).body
    const page = await server.call<Page>('GET', `/conversations/user/${user}?metadata.of=them`, undefined, reader)
    expect(page.body.data.map(({ conversationId }) => conversationId)).toEqual([mine.conversationId])
  })
})

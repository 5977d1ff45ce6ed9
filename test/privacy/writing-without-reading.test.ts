import { afterAll, beforeAll, expect, test } from 'vitest'
import { createKey, createPersona, type Json, type RunningApp, startApp } from '../support/app.ts'
import { onEveryDatabase } from '../support/databases.ts'

const SAID = 'What only readers may know'

onEveryDatabase('a key that may write and not read', (kind) => {
  let server: RunningApp
  let id: string
  let messageId: string
  beforeAll(async () => {
    server = await startApp(kind)
    const created = await server.call<{ conversationId: string; chatMessages: Json[] }>('POST', '/conversations', {
      aiSystem: 'rehearsal',
      model: 'rehearsal',
      systemMessage: SAID,
      message: SAID,
      externalUserId: SAID,
      metadata: { note: SAID },
      configuration: { rehearsal: { text: SAID } },
    })
    id = created.body.conversationId
    messageId = created.body.chatMessages.at(-1)?.['messageId'] as string
    await server.call('PATCH', `/conversations/${id}/set-conversation-name`, { conversationName: SAID })
  })
  afterAll(() => server.close())

  /** All fields of a conversation as one gets them who may not read it. */
  const small = (written: Json = {}) => ({
    conversationId: id,
    aiSystem: null,
    model: null,
    personaId: null,
    personaVersionId: null,
    conversationStatus: null,
    conversationName: null,
    chatMessages: null,
    chatMessagesCount: null,
    chatStarted: null,
    areChatMessagesInBlob: null,
    chatMessagesBlobUri: null,
    configuration: null,
    metadata: null,
    externalUserId: null,
    isActive: true,
    isDeleted: false,
    promptTokens: null,
    completionTokens: null,
    totalTokens: null,
    ...written,
  })

  const CHANGES: [path: string, body: Json, seen: Json][] = [
    ['set-active', { isActive: true }, {}],
    ['set-metadata', { metadata: { mine: 1 } }, { metadata: { mine: 1 } }],
    ['set-metadata', { metadata: null }, {}],
    ['set-conversation-name', { conversationName: 'Mine' }, { conversationName: 'Mine' }],
    ['set-conversation-status', { conversationStatus: 'mine' }, { conversationStatus: 'mine' }],
    ['update', {}, {}],
    [
      'update',
      { conversationStatus: 'x', metadata: { a: [1] }, isActive: true },
      { conversationStatus: 'x', metadata: { a: [1] } },
    ],
  ]

  test('gets of a conversation that it changes what it has written, in the same twenty fields', async () => {
    const writer = await createKey(server, ['conversations:write'])
    for (const prefix of ['', '/api', '/app']) {
      for (const [path, body, seen] of CHANGES) {
        const answer = await server.call('PATCH', `${prefix}/conversations/${id}/${path}`, body, writer)
        expect([answer.status, answer.body]).toEqual([200, small(seen)])
      }
    }
    const reader = await createKey(server, ['conversations:write', 'conversations:read'])
    for (const [path, body, seen] of CHANGES) {
      const answer = await server.call('PATCH', `/conversations/${id}/${path}`, body, reader)
      expect(answer.body).toEqual({ ...(await server.call('GET', `/conversations/${id}`)).body, ...seen })
      expect(answer.text).toContain(SAID)
    }
  })

  test('gets of a conversation that it scores the id', async () => {
    const giver = await createKey(server, ['feedback:write', 'feedback:read'])
    const reader = await createKey(server, ['feedback:write', 'conversations:read'])
    for (const [path, body] of [
      ['set-score', { score: 3, scoreText: 'Good', metadata: { no: 1 } }],
      [`set-score/${messageId}`, { score: 3, comments: 'Good' }],
    ] as const) {
      expect((await server.call('PATCH', `/conversations/${id}/${path}`, body, giver)).body).toEqual(small())
      const whole = await server.call('PATCH', `/conversations/${id}/${path}`, body, reader)
      expect(whole.body).toEqual((await server.call('GET', `/conversations/${id}`)).body)
    }
  })

  test('gets no more when it sends again what a reader has sent, and a reader no less than that', async () => {
    const writer = await createKey(server, ['conversations:write', 'feedback:write'])
    for (const [i, [path, body, seen]] of [...CHANGES, ['set-score', { score: 1 }, {}] as const].entries()) {
      const key = { 'idempotency-key': `again-${i}` }
      const first = await server.call('PATCH', `/conversations/${id}/${path}`, body, key)
      const again = await server.call('PATCH', `/conversations/${id}/${path}`, body, { ...key, ...writer })
      expect([again.status, again.headers.get('x-dramatis-replayed')]).toEqual([200, 'true'])
      expect(again.body).toEqual(small(seen))
      expect((await server.call('PATCH', `/conversations/${id}/${path}`, body, key)).body).toEqual(first.body)
    }
    // Too long to be kept.
    const long = await server.call('POST', '/conversations', {
      aiSystem: 'rehearsal',
      model: 'rehearsal',
      messages: [{ role: 'user', content: 'x'.repeat(100_000) }],
    })
    const path = `/conversations/${long.body['conversationId']}/set-conversation-status`
    const key = { 'idempotency-key': 'again-long' }
    expect((await server.call('PATCH', path, { conversationStatus: 'y' }, key)).text.length).toBeGreaterThan(100_000)
    const again = await server.call('PATCH', path, { conversationStatus: 'y' }, { ...key, ...writer })
    expect(again.body).toEqual({
      ...small({ conversationStatus: 'y' }),
      conversationId: long.body['conversationId'],
    })
  })

  test('gets of a persona what it has written, and its versions from nobody', async () => {
    const writer = await createKey(server, ['personas:write', 'conversations:read'])
    const reader = await createKey(server, ['personas:write', 'personas:read'])
    for (const isSecret of [false, true]) {
      const { personaId } = await createPersona(server, {
        isSecret,
        personaText: SAID,
        personaGreeting: SAID,
        personaDescription: SAID,
        personaTags: SAID,
        personaMetadata: { note: SAID },
        personaConfiguration: { stop: [SAID], seed: 7 },
      })
      const versions = (await server.call<{ personaVersions: Json[] }>('GET', `/personas/${personaId}`)).body
      const versionId = versions.personaVersions[0]?.['personaVersionId']
      const changes: [string, string, Json][] = [
        ['PATCH', `/personas/${personaId}`, {}],
        ['PATCH', `/personas/${personaId}`, { personaName: 'Mine', personaGreeting: 'Mine' }],
        ['POST', `/personas/${personaId}`, { personaGreeting: 'Mine' }],
        ['PATCH', `/personas/${personaId}/${versionId}`, { isActive: true }],
      ]
      for (const [i, [method, path, body]] of changes.entries()) {
        const key = { 'idempotency-key': `persona-${isSecret}-${i}` }
        const whole = await server.call(method, path, body, { ...reader, ...key })
        expect([whole.status, whole.text.includes(SAID)]).toEqual([200, true])
        for (const headers of [writer, { ...writer, ...key }]) {
          const answer = await server.call(method, path, body, headers)
          expect([answer.status, Object.keys(answer.body).sort()]).toEqual([200, Object.keys(whole.body).sort()])
          expect(answer.text).not.toContain(SAID)
          expect(answer.body).toMatchObject(body)
          expect(answer.body['personaVersions'] ?? answer.body['seed'] ?? null).toBeNull()
        }
      }
      const made = await server.call('POST', '/personas', {
        personaName: 'a',
        personaDescription: 'b',
        aiSystem: 'rehearsal',
        model: 'rehearsal',
        personaText: 'c',
      })
      expect(made.body).toMatchObject({ personaName: 'a', personaText: 'c' })
    }
  })
})

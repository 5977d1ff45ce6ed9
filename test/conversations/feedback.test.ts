import { afterAll, beforeAll, expect, test } from 'vitest'
import { createConversation, createKey, expectError, type Json, type RunningApp, startApp } from '../support/app.ts'
import { onEveryDatabase } from '../support/databases.ts'

type Feedback = {
  feedbackId: string
  score: number
  comments: string | null
  tags: string[] | null
  timestamp: string
  scoreConfidence: number | null
}
type Message = { role: string; messageId: string; feedbacks: Feedback[] }
type Conversation = Json & { chatMessages: Message[] }

const ID = '01890000-0000-7000-8000-0000000000aa'

onEveryDatabase('feedback', (kind) => {
  let server: RunningApp
  let id: string
  let messages: Message[]
  beforeAll(async () => {
    server = await startApp(kind)
    id = await createConversation(server)
    await server.call('PATCH', `/conversations/${id}/chat`, { message: 'Hi' })
    messages = (await read(id)).chatMessages
  })
  afterAll(() => server.close())

  const read = async (conversationId: string) =>
    (await server.call<Conversation>('GET', `/conversations/${conversationId}`)).body
  const give = (messageId: string | undefined, body: Json) =>
    server.call<Conversation>('PATCH', `/conversations/${id}/set-score/${messageId}`, body)
  const on = (conversation: Conversation, messageId: string | undefined) =>
    conversation.chatMessages.find((message) => message.messageId === messageId)?.feedbacks ?? []

  test('stands on the message it was given on, with all it says', async () => {
    const [, greeting, user, reply] = messages
    const full = { feedbackId: ID, score: 7, comments: 'Ünï 😀 "good"', tags: ['a', 'ключ', ''], scoreConfidence: 0.25 }
    const given = await give(reply?.messageId, { messageId: reply?.messageId, ...full })
    expect(given.status).toBe(200)
    expect(on(given.body, reply?.messageId)).toEqual([{ ...full, timestamp: expect.stringMatching(/^\d{4}-.*Z$/) }])
    expect(on(given.body, user?.messageId)).toEqual([])
    expect(await read(id)).toEqual(given.body)
    // On what the user said, and on the greeting too; and one id may stand on several messages.
    expect(on((await give(user?.messageId, { score: -1 })).body, user?.messageId)).toMatchObject([{ score: -1 }])
    expect(on((await give(greeting?.messageId, { ...full, score: 2 })).body, greeting?.messageId)).toMatchObject([
      { feedbackId: ID, score: 2 },
    ])
    expect(on(await read(id), reply?.messageId)).toMatchObject([{ feedbackId: ID, score: 7 }])
  })

  test('with the same id is replaced, without one is added', async () => {
    const conversationId = await createConversation(server)
    const messageId = (await read(conversationId)).chatMessages[1]?.messageId
    const path = `/conversations/${conversationId}/set-score/${messageId}`
    const send = async (body: Json) => on((await server.call<Conversation>('PATCH', path, body)).body, messageId)
    await send({ feedbackId: ID, score: 5, comments: 'First', tags: ['x'], scoreConfidence: 1 })
    const replaced = await send({ feedbackId: ID.toUpperCase(), score: -5 })
    expect(replaced).toEqual([
      {
        feedbackId: ID,
        score: -5,
        comments: null,
        tags: null,
        scoreConfidence: null,
        timestamp: expect.anything(),
      },
    ])
    await send({ score: 1 })
    await send({ score: 1, feedbackId: null })
    const all = await send({ score: 1, feedbackId: '00000000-0000-0000-0000-000000000000' })
    expect(all).toHaveLength(4)
    expect(new Set(all.map(({ feedbackId }) => feedbackId)).size).toBe(4)
    await Promise.all(Array.from({ length: 10 }, (_, i) => server.call('PATCH', path, { feedbackId: ID, score: i })))
    const after = on(await read(conversationId), messageId)
    expect(after).toHaveLength(4)
    expect(after.find(({ feedbackId }) => feedbackId === ID)?.score).toBeGreaterThanOrEqual(0)
  })

  test.each<Json>([
    { score: -10, scoreConfidence: 0 },
    { score: 10, scoreConfidence: 1 },
    { score: 0, scoreConfidence: 0.5 },
    { score: 3, scoreConfidence: null, comments: null, tags: null },
    { score: 3, comments: '', tags: [] },
  ])('may be %j', async (body) => {
    const conversationId = await createConversation(server)
    const messageId = (await read(conversationId)).chatMessages[1]?.messageId
    const answer = await server.call<Conversation>(
      'PATCH',
      `/conversations/${conversationId}/set-score/${messageId}`,
      body,
    )
    expect(on(answer.body, messageId)).toMatchObject([body])
    expect(await read(conversationId)).toEqual(answer.body)
  })

  test.each<[Json, string]>([
    [{ score: 11 }, 'score'],
    [{ score: -11 }, 'score'],
    [{ score: 0.5 }, 'score'],
    [{ score: '5' }, 'score'],
    [{ score: null }, 'score'],
    [{ score: 1, scoreConfidence: 1.01 }, 'scoreConfidence'],
    [{ score: 1, scoreConfidence: -0.01 }, 'scoreConfidence'],
    [{ score: 1, scoreConfidence: 'high' }, 'scoreConfidence'],
    [{ score: 1, feedbackId: 'x' }, 'feedbackId'],
    [{ score: 1, feedbackId: 7 }, 'feedbackId'],
    [{ score: 1, comments: 7 }, 'comments'],
    [{ score: 1, tags: 'x' }, 'tags'],
    [{ score: 1, tags: [7] }, 'tags.0'],
    [{ score: 1, messageId: ID }, 'messageId'],
    [{ score: 1, messageId: 'x' }, 'messageId'],
  ])('may not be %j', async (body, field) => {
    const before = await read(id)
    const error = expectError(await give(messages[3]?.messageId, body), 'bad_request')
    expect(error.details.map((detail) => detail.field)).toEqual([field])
    expect(await read(id)).toEqual(before)
  })

  test('on what is not there is a 404', async () => {
    expectError(await give(ID, { score: 1 }), 'not_found')
    expectError(await give('nonsense', { score: 1 }), 'bad_request')
    const other = await createConversation(server)
    const messageId = (await read(other)).chatMessages[0]?.messageId
    expectError(await give(messageId, { score: 1 }), 'not_found')
    const nowhere = `/conversations/${ID}/set-score`
    expectError(await server.call('PATCH', `${nowhere}/${messages[3]?.messageId}`, { score: 1 }), 'not_found')
    expectError(await server.call('PATCH', nowhere, { score: 1 }), 'not_found')
  })

  test('on a whole conversation is taken', async () => {
    const score = (body: Json) => server.call<Conversation>('PATCH', `/conversations/${id}/set-score`, body)
    const before = await read(id)
    for (const body of [
      { score: 5, scoreText: 'Good', scoreTags: 'a,b' },
      { conversationId: id, score: -100 },
      { score: null, scoreText: null, scoreTags: null },
      {},
    ]) {
      const answer = await score(body)
      expect([answer.status, answer.body]).toEqual([200, before])
    }
    expectError(await score({ score: 'x' }), 'bad_request')
    expectError(await score({ score: 1.5 }), 'bad_request')
    expectError(await score({ score: 2 ** 31 }), 'bad_request')
    expectError(await score({ scoreText: 7 }), 'bad_request')
    expectError(await score({ conversationId: ID, score: 1 }), 'bad_request')
  })

  test('needs its own scope', async () => {
    const talker = await createKey(server, ['conversations:read', 'conversations:write', 'feedback:read'])
    const path = `/conversations/${id}/set-score`
    expectError(await server.call('PATCH', path, { score: 1 }, talker), 'forbidden')
    expectError(await server.call('PATCH', `${path}/${messages[3]?.messageId}`, { score: 1 }, talker), 'forbidden')
    const giver = await createKey(server, ['feedback:write'])
    expect((await server.call('PATCH', `${path}/${messages[3]?.messageId}`, { score: 1 }, giver)).status).toBe(200)
    expectError(await server.call('GET', `/conversations/${id}`, undefined, giver), 'forbidden')
  })
})

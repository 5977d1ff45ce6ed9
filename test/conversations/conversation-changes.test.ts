import { afterAll, beforeAll, expect, test } from 'vitest'
import { createConversation, expectError, type Json, type RunningApp, startApp } from '../support/app.ts'
import { onEveryDatabase } from '../support/databases.ts'

type Conversation = Json & { conversationId: string; chatMessages: { role: string; content: string }[] }

onEveryDatabase('changes of a conversation', (kind) => {
  let server: RunningApp
  beforeAll(async () => {
    server = await startApp(kind)
  })
  afterAll(() => server.close())

  const read = async (id: string) => (await server.call<Conversation>('GET', `/conversations/${id}`)).body
  const patch = (id: string, what: string, body: unknown) =>
    server.call<Conversation>('PATCH', `/conversations/${id}/${what}`, body)

  test.each<[string, Json, Json]>([
    ['set-active', { isActive: false }, { isActive: false }],
    [
      'set-metadata',
      { metadata: { a: [1, { b: null }], ключ: '😀' } },
      { metadata: { a: [1, { b: null }], ключ: '😀' } },
    ],
    ['set-metadata', { metadata: {} }, { metadata: {} }],
    ['set-metadata', { metadata: null }, { metadata: null }],
    ['set-conversation-name', { conversationName: 'Ünï 漢字 😀' }, { conversationName: 'Ünï 漢字 😀' }],
    ['set-conversation-name', { conversationName: null }, { conversationName: null }],
    ['set-conversation-status', { conversationStatus: 'waiting for Ada' }, { conversationStatus: 'waiting for Ada' }],
    [
      'update',
      { isActive: false, metadata: { x: 1 }, conversationName: 'n', conversationStatus: 's' },
      { isActive: false, metadata: { x: 1 }, conversationName: 'n', conversationStatus: 's' },
    ],
    ['update', { conversationStatus: 'closed' }, { conversationStatus: 'closed' }],
    ['update', {}, {}],
  ])('%s with %j changes that and nothing else', async (what, body, change) => {
    const id = await createConversation(server)
    await patch(id, 'update', { metadata: { old: true }, conversationName: 'Old' })
    const before = await read(id)
    const answer = await patch(id, what, { conversationId: id, ...body })
    expect(answer.status).toBe(200)
    expect(answer.body).toEqual({ ...before, ...change })
    expect(await read(id)).toEqual(answer.body)
  })

  test('close it to new messages, and open it again', async () => {
    const id = await createConversation(server)
    await patch(id, 'set-active', { isActive: false })
    for (const endpoint of ['chat', 'chat-sse', 'chat-http2']) {
      expect(expectError(await patch(id, endpoint, { message: 'Hi' }), 'forbidden')).toMatchObject({
        conversationId: id,
      })
    }
    expect((await read(id)).chatMessages).toHaveLength(2)
    expect((await patch(id, 'set-conversation-name', { conversationName: 'Still changeable' })).status).toBe(200)
    await patch(id, 'set-active', { isActive: true })
    expect((await patch(id, 'chat', { message: 'Hi' })).status).toBe(200)
  })

  test('a status is a word of the caller and stops nothing', async () => {
    const id = await createConversation(server)
    await patch(id, 'set-conversation-status', { conversationStatus: 'closed' })
    expect((await patch(id, 'chat', { message: 'Hi' })).status).toBe(200)
    expect(await read(id)).toMatchObject({ conversationStatus: 'closed' })
  })

  test('lose nothing of several that come at once', async () => {
    for (let round = 0; round < 5; round++) {
      const id = await createConversation(server)
      const changes: [string, Json][] = [
        ['set-active', { isActive: false }],
        ['set-metadata', { metadata: { round } }],
        ['set-conversation-name', { conversationName: `Round ${round}` }],
        ['set-conversation-status', { conversationStatus: 'together' }],
      ]
      const answers = await Promise.all(changes.map(([what, body]) => patch(id, what, body)))
      expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200])
      expect(await read(id)).toMatchObject(Object.assign({}, ...changes.map(([, body]) => body)))
    }
  })

  test('do not take away what a turn does meanwhile', async () => {
    const ids = await Promise.all(Array.from({ length: 10 }, () => createConversation(server, { text: 'One two.' })))
    for (const [n, id] of ids.entries()) {
      const turn = patch(id, 'chat', { message: `Hello number ${n}` })
      const changes: Promise<unknown>[] = []
      // All the way through the turn, whenever its end is written.
      let isOver = false
      void turn.then(() => {
        isOver = true
      })
      while (!isOver) {
        const change = patch(id, 'set-metadata', { metadata: { n: changes.length } })
        changes.push(change)
        await change
      }
      await Promise.all(changes)
      expect(await read(id)).toMatchObject({
        chatStarted: true,
        chatMessagesCount: 4,
        conversationName: `Hello number ${n}`,
        metadata: { n: changes.length - 1 },
      })
    }
  })

  test('deleting it takes it out of every list, and it stays gone', async () => {
    const externalUserId = 'user-of-the-deleted'
    const start = async () =>
      (await server.call<Conversation>('POST', '/conversations', { aiSystem: 0, model: 'default', externalUserId }))
        .body.conversationId
    const [kept, deleted] = [await start(), await start()]
    const answer = await server.call('DELETE', `/conversations/${deleted}`)
    expect([answer.status, answer.text]).toEqual([204, ''])
    for (const path of ['', '/persona/none', `/user/${externalUserId}`]) {
      const page = await server.call<{ data: Conversation[] }>('GET', `/conversations${path}?pageSize=100`)
      const ids = page.body.data.map(({ conversationId }) => conversationId)
      expect([path, ids.includes(kept), ids.includes(deleted)]).toEqual([path, true, false])
    }
    expectError(await server.call('GET', `/conversations/${deleted}`), 'gone')
    expectError(await server.call('DELETE', `/conversations/${deleted}`), 'gone')
    expectError(await patch(deleted, 'update', { isActive: true }), 'gone')
    expectError(await server.call('DELETE', '/conversations/01890000-0000-7000-8000-000000000000'), 'not_found')
  })

  test('of deleting at once with everything else one thing is sure: it is gone', async () => {
    const id = await createConversation(server, { text: 'One two three.' })
    const answers = await Promise.all([
      patch(id, 'chat', { message: 'Hi' }),
      patch(id, 'set-conversation-name', { conversationName: 'Late' }),
      server.call('DELETE', `/conversations/${id}`),
      server.call('DELETE', `/conversations/${id}`),
      patch(id, 'set-score', { score: 1 }),
      patch(id, 'chat-sse', { message: 'Hi' }),
    ])
    const statuses = answers.map(({ status }) => status)
    expect(statuses.filter((status) => ![200, 204, 409, 410, 499].includes(status))).toEqual([])
    expect(statuses.filter((status) => status === 204)).toHaveLength(1)
    expectError(await server.call('GET', `/conversations/${id}`), 'gone')
  })
})

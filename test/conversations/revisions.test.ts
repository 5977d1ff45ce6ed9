import { afterAll, beforeAll, expect, test } from 'vitest'
import { createConversation, expectError, type Json, parseSse, type RunningApp } from '../support/app.ts'
import { startAppWithProvider } from '../support/app-with-provider.ts'
import { onEveryDatabase } from '../support/databases.ts'
import { chatReply, type ProviderServer } from '../support/provider-server.ts'

type Message = { role: string; content: string; messageId: string }
type Conversation = { chatMessages: Message[]; chatMessagesCount: number; totalTokens: number; conversationId: string }

const NOWHERE = '01890000-0000-7000-8000-000000000000'

onEveryDatabase('changing what was said', (kind) => {
  let server: RunningApp
  let provider: ProviderServer
  beforeAll(async () => {
    ;({ server, provider } = await startAppWithProvider(kind))
  })
  afterAll(() => server.close())

  const read = async (id: string) => (await server.call<Conversation>('GET', `/conversations/${id}`)).body
  const talk = (messages: Message[]) => messages.map(({ role, content }) => `${role}: ${content}`)
  const send = (id: string, message: string) => server.call('PATCH', `/conversations/${id}/chat`, { message })
  const edit = (id: string, messageId: string, content: string, headers = {}) =>
    server.call('PATCH', `/conversations/${id}/messages/${messageId}`, { content }, headers)
  const regenerate = (id: string, headers = {}) =>
    server.call('POST', `/conversations/${id}/regenerate`, undefined, headers)
  /** A conversation with a provider whose replies are these, one after the other. */
  const withReplies = async (...replies: (string | number)[]) => {
    provider.script(replies.map((reply) => (typeof reply === 'number' ? { status: reply } : chatReply([reply]))))
    const made = await server.call<Conversation>('POST', '/conversations', {
      aiSystem: 'openai-compatible',
      model: 'm',
      systemMessage: 'Be kind',
    })
    return made.body.conversationId
  }
  const sent = () => (provider.requests.at(-1)?.body as { messages: Json[] } | undefined)?.messages ?? []

  test('a reply that is regenerated takes the place of the old one, and the provider never sees the old', async () => {
    const id = await withReplies('one', 'two', 'three')
    await send(id, 'Hello')
    const before = await read(id)
    const answer = await regenerate(id)
    expect(answer.status).toBe(200)
    const after = await read(id)
    expect(talk(after.chatMessages)).toEqual(['system: Be kind', 'user: Hello', 'assistant: two'])
    expect(after.chatMessages[2]?.messageId).toBe(answer.body['messageId'])
    expect(after.chatMessages[2]?.messageId).not.toBe(before.chatMessages[2]?.messageId)
    expect(after.chatMessagesCount).toBe(3)
    expect(after.totalTokens).toBeGreaterThan(before.totalTokens)
    expect(sent()).toEqual([
      { role: 'system', content: 'Be kind' },
      { role: 'user', content: 'Hello' },
    ])
    await send(id, 'And?')
    expect(sent().map(({ content }) => content)).toEqual(['Be kind', 'Hello', 'two', 'And?'])
  })

  test('the replaced reply can still be read at its run', async () => {
    const id = await withReplies('one', 'two')
    const first = await send(id, 'Hello')
    await regenerate(id)
    const events = await server.call('GET', `/conversations/${id}/runs/${first.body['runId']}/events`)
    const texts = parseSse(events.text)
      .slice(0, -1)
      .map(({ data }) => JSON.parse(data).choice.message.content)
    expect(texts.join('')).toBe('one')
    const runs = await server.call<{ data: Json[] }>('GET', `/conversations/${id}/runs`)
    expect(runs.body.data.map(({ kind: what }) => what)).toEqual(['regenerate', 'send'])
  })

  test('a reply that cannot be regenerated stays', async () => {
    const id = await withReplies('one', 401)
    await send(id, 'Hello')
    expect((await regenerate(id)).status).toBe(502)
    expect(talk((await read(id)).chatMessages)).toEqual(['system: Be kind', 'user: Hello', 'assistant: one'])
    expect((await read(id)).chatMessagesCount).toBe(3)
  })

  test('a message that got no reply gets one', async () => {
    const id = await withReplies(401, 'one')
    expect((await send(id, 'Hello')).status).toBe(502)
    expect((await regenerate(id)).status).toBe(200)
    expect(talk((await read(id)).chatMessages)).toEqual(['system: Be kind', 'user: Hello', 'assistant: one'])
  })

  test('the last message of the user can be changed, and what followed it is gone from the talk', async () => {
    const id = await withReplies('one', 'two', 'three')
    await send(id, 'First')
    await send(id, 'Second')
    const last = (await read(id)).chatMessages.findLast(({ role }) => role === 'user') as Message
    const answer = await edit(id, last.messageId.toUpperCase(), 'Other')
    expect(answer.body).toMatchObject({ choices: [{ message: { content: 'three' } }] })
    const after = await read(id)
    expect(talk(after.chatMessages)).toEqual([
      ...['system: Be kind', 'user: First', 'assistant: one', 'user: Other', 'assistant: three'],
    ])
    expect(after.chatMessagesCount).toBe(5)
    expect(sent().map(({ content }) => content)).toEqual(['Be kind', 'First', 'one', 'Other'])
  })

  test('an earlier message of the user can be changed, and the talk goes on from there', async () => {
    const id = await withReplies('one', 'two', 'three', 'four')
    await send(id, 'First')
    await send(id, 'Second')
    const first = (await read(id)).chatMessages.find(({ role }) => role === 'user') as Message
    expect((await edit(id, first.messageId, 'Other')).status).toBe(200)
    const after = await read(id)
    expect(talk(after.chatMessages)).toEqual(['system: Be kind', 'user: Other', 'assistant: three'])
    expect(after.chatMessagesCount).toBe(3)
    await send(id, 'And now?')
    expect(sent().map(({ content }) => content)).toEqual(['Be kind', 'Other', 'three', 'And now?'])
  })

  test('only messages of the user can be changed', async () => {
    const id = await withReplies('one', 'two')
    await send(id, 'First')
    const [, first, reply] = (await read(id)).chatMessages as [Message, Message, Message]
    await send(id, 'Second')
    expectError(await edit(id, reply.messageId, 'x'), 'unprocessable_entity')
    expectError(await edit(id, NOWHERE, 'x'), 'not_found')
    expectError(await edit(NOWHERE, first.messageId, 'x'), 'not_found')
    for (const content of ['', '  ', 'a\0b', 7, null]) {
      expectError(await edit(id, first.messageId, content as string), 'bad_request')
    }
    expect(talk((await read(id)).chatMessages)).toHaveLength(5)
  })

  test('nothing can be tried again where nobody has said anything', async () => {
    const id = await createConversation(server)
    expectError(await regenerate(id), 'unprocessable_entity')
    expectError(await regenerate(NOWHERE), 'not_found')
    await server.call('DELETE', `/conversations/${id}`)
    expectError(await regenerate(id), 'gone')
  })

  test('both stream to those who ask for events', async () => {
    const id = await createConversation(server, { text: 'a b c' })
    await send(id, 'Hello')
    const accept = { accept: 'text/event-stream' }
    const again = await regenerate(id, accept)
    expect(again.headers.get('content-type')).toMatch(/^text\/event-stream/)
    expect(parseSse(again.text)).toHaveLength(5)
    const last = (await read(id)).chatMessages.findLast(({ role }) => role === 'user') as Message
    expect(parseSse((await edit(id, last.messageId, 'Bye', accept)).text)).toHaveLength(5)
    expect((await read(id)).chatMessages.map(({ role }) => role)).toEqual(['system', 'assistant', 'user', 'assistant'])
  })

  test('neither is possible while a turn runs', async () => {
    const id = await createConversation(server, { text: 'a b c d e f g', tokensPerSecond: 8 })
    const running = await server.open('PATCH', `/conversations/${id}/chat-sse`, { message: 'Hello' })
    expectError(await regenerate(id), 'conflict')
    const last = (await read(id)).chatMessages.findLast(({ role }) => role === 'user') as Message
    expectError(await edit(id, last.messageId, 'x'), 'conflict')
    await running.text()
    expect(talk((await read(id)).chatMessages).slice(2)).toEqual(['user: Hello', 'assistant: a b c d e f g'])
  })

  test('of many who try again at the same time one is let through, and nothing doubles', async () => {
    const id = await createConversation(server, { text: 'a b c', tokensPerSecond: 50 })
    await send(id, 'Hello')
    const last = (await read(id)).chatMessages.findLast(({ role }) => role === 'user') as Message
    const answers = await Promise.all([
      ...Array.from({ length: 5 }, () => regenerate(id)),
      ...Array.from({ length: 5 }, (_, i) => edit(id, last.messageId, `edit ${i}`)),
    ])
    for (const { status } of answers) expect([200, 409, 404, 422]).toContain(status)
    const { chatMessages, chatMessagesCount } = await read(id)
    expect(chatMessages.map(({ role }) => role)).toEqual(['system', 'assistant', 'user', 'assistant'])
    expect(chatMessagesCount).toBe(4)
  })
})

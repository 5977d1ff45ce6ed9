import { afterAll, beforeAll, expect, test } from 'vitest'
import { createPersona, expectError, type Json, parseSse, type RunningApp, startApp } from '../support/app.ts'
import { onEveryDatabase } from '../support/databases.ts'

type Message = {
  role: string
  content: string
  messageId: string
  conversationRunId: string
  promptTokens: number
  completionTokens: number
  totalTokens: number
  feedbacks: unknown[]
}
type Conversation = Json & {
  conversationId: string
  chatMessages: Message[]
  chatMessagesCount: number
  promptTokens: number
  completionTokens: number
  totalTokens: number
}
type Usage = { prompt_tokens: number; completion_tokens: number; total_tokens: number }

const NIL = '00000000-0000-0000-0000-000000000000'
const GENERAL = { aiSystem: 'rehearsal', model: 'rehearsal' }

onEveryDatabase('conversations', (kind) => {
  let server: RunningApp
  beforeAll(async () => {
    server = await startApp(kind)
  })
  afterAll(() => server.close())

  const start = async (body: Json, path = '/conversations') => {
    const answer = await server.call<Conversation>(
      'POST',
      path,
      path === '/conversations' ? { ...GENERAL, ...body } : body,
    )
    expect([answer.status, answer.text.slice(0, 300)]).toEqual([200, expect.anything()])
    return answer.body
  }
  const withPersona = async (fields: Json, body: Json = {}, script?: Json) => {
    const { personaId } = await createPersona(server, fields, script)
    return start({ personaId, ...body }, '/conversations/persona')
  }
  const read = async (id: string) => (await server.call<Conversation>('GET', `/conversations/${id}`)).body
  const say = (id: string, message: string) =>
    server.call<{ usage: Usage; messageId: string; runId: string }>('PATCH', `/conversations/${id}/chat`, { message })
  const roles = ({ chatMessages }: Conversation) => chatMessages.map(({ role }) => role)

  test('with a persona begin with its text and its greeting, and with nothing else', async () => {
    const metadata = { order: 7, nested: { deep: [true, null] } }
    const persona = await createPersona(server, {
      personaConfiguration: { temperature: 0.5, rehearsal: { text: 'x' } },
    })
    const answer = await server.call<Conversation>('POST', '/conversations/persona', {
      personaId: persona['personaId'],
      replacements: { name: 'Ada' },
      metadata,
      externalUserId: 'user-1',
      stream: true,
    })
    expect(answer.headers.get('content-type')).toMatch(/^application\/json/)
    const { chatMessages, ...rest } = answer.body
    expect(rest).toEqual({
      conversationId: expect.stringMatching(/^[0-9a-f-]{36}$/),
      personaId: persona['personaId'],
      personaVersionId: persona['personaVersionId'],
      aiSystem: 'rehearsal',
      model: 'rehearsal',
      conversationStatus: 'open',
      conversationName: null,
      chatMessagesCount: 2,
      chatStarted: false,
      areChatMessagesInBlob: false,
      chatMessagesBlobUri: null,
      configuration: { temperature: 0.5, rehearsal: { text: 'x' } },
      metadata,
      externalUserId: 'user-1',
      isActive: true,
      isDeleted: false,
      promptTokens: 0,
      completionTokens: 0,
      totalTokens: 0,
    })
    const nothing = {
      toolCallId: null,
      name: null,
      feedbacks: [],
      promptTokens: 0,
      completionTokens: 0,
      totalTokens: 0,
    }
    expect(chatMessages).toEqual(
      [
        { role: 'system', content: 'You are Ada.' },
        { role: 'assistant', content: 'Hello from Ada.' },
      ].map((message) => ({
        ...message,
        ...nothing,
        conversationRunId: NIL,
        messageId: expect.stringMatching(/^[0-9a-f-]{36}$/),
        timestamp: expect.stringMatching(/^\d{4}-.*Z$/),
      })),
    )
    expect(await read(answer.body.conversationId)).toEqual(answer.body)
  })

  test('without text, greeting or both have the messages that there are', async () => {
    expect(roles(await withPersona({ personaGreeting: null }))).toEqual(['system'])
    expect(roles(await withPersona({ personaText: null }))).toEqual(['assistant'])
    expect(await withPersona({ personaText: null, personaGreeting: null })).toMatchObject({
      chatMessages: [],
      chatMessagesCount: 0,
    })
    expect(await start({})).toMatchObject({
      chatMessages: [],
      personaId: null,
      personaVersionId: null,
      configuration: null,
    })
  })

  test('are as their first user message leaves them', async () => {
    const before = await withPersona({}, {}, { text: 'One two.' })
    const first = await say(before.conversationId, 'Tell me *everything* about the sea.')
    const after = await read(before.conversationId)
    expect(after).toMatchObject({ chatStarted: true, chatMessagesCount: 4, isActive: true, conversationStatus: 'open' })
    expect(after['conversationName']).toContain('everything about the sea')
    expect(roles(after)).toEqual(['system', 'assistant', 'user', 'assistant'])
    expect(after.chatMessages.slice(0, 2)).toEqual(before.chatMessages)
    const [user, reply] = after.chatMessages.slice(2)
    expect(user).toMatchObject({
      content: 'Tell me *everything* about the sea.',
      conversationRunId: first.body.runId,
      totalTokens: 0,
    })
    expect(reply).toMatchObject({
      content: 'One two.',
      messageId: first.body.messageId,
      conversationRunId: first.body.runId,
      completionTokens: 2,
      promptTokens: first.body.usage.prompt_tokens,
      totalTokens: first.body.usage.total_tokens,
    })
  })

  test('keep a message to the letter', async () => {
    const { conversationId } = await start({
      configuration: { rehearsal: { text: ' \n<b>ü 😀\u2028</b>\t"\\u0041" ' } },
    })
    const message = '  \ufeff leading & trailing \r\n "quotes" \\ \u2028 😀 {{name}} <script> \u0001 é e\u0301  '
    await say(conversationId, message)
    expect((await read(conversationId)).chatMessages.map(({ content }) => content)).toEqual([
      message,
      ' \n<b>ü 😀\u2028</b>\t"\\u0041" ',
    ])
  })

  test('name themselves once, unless somebody has named them', async () => {
    const own = await start({})
    await server.call('PATCH', `/conversations/${own.conversationId}/set-conversation-name`, {
      conversationName: 'Mine',
    })
    await say(own.conversationId, 'Hello there')
    expect(await read(own.conversationId)).toMatchObject({ conversationName: 'Mine' })
    const auto = await start({})
    await say(auto.conversationId, 'First words')
    await say(auto.conversationId, 'Second words')
    expect(await read(auto.conversationId)).toMatchObject({ conversationName: 'First words' })
    const long = await start({})
    await say(long.conversationId, `${'word '.repeat(1_000)}😀`)
    const { conversationName } = await read(long.conversationId)
    expect((conversationName as string).length).toBeLessThanOrEqual(256)
    expect((conversationName as string).isWellFormed()).toBe(true)
    for (const message of ['***', '```js\ncode()\n```', '😀', '\u0001']) {
      const strange = await start({})
      expect((await say(strange.conversationId, message)).status).toBe(200)
      const name = (await read(strange.conversationId))['conversationName']
      expect(name === null || /\S/.test(name as string), `${message}: ${name}`).toBe(true)
    }
  })

  test('sum the tokens of all their runs, failed ones too', async () => {
    const { conversationId } = await withPersona(
      {},
      {},
      { text: 'One two three four.', failAtToken: 3, failure: 'cut' },
    )
    const failed = await server.call('PATCH', `/conversations/${conversationId}/chat-sse`, { message: 'One' })
    const item = JSON.parse(parseSse(failed.text).at(-3)?.data ?? '') as { choice: Json; usage: Usage }
    expect(item.choice['finish_reason']).toBe('error')
    const after = await read(conversationId)
    expect(item.usage.total_tokens).toBeGreaterThan(0)
    expect(after).toMatchObject({ totalTokens: item.usage.total_tokens, promptTokens: item.usage.prompt_tokens })

    const well = await withPersona({}, {}, { text: 'One two.' })
    const usages = [await say(well.conversationId, 'a'), await say(well.conversationId, 'b c d')].map(
      ({ body }) => body.usage,
    )
    const sum = (of: (usage: Usage) => number) => usages.reduce((total, usage) => total + of(usage), 0)
    expect(await read(well.conversationId)).toMatchObject({
      promptTokens: sum((usage) => usage.prompt_tokens),
      completionTokens: sum((usage) => usage.completion_tokens),
      totalTokens: sum((usage) => usage.total_tokens),
    })
  })

  test('may be created and continued in one request', async () => {
    const { personaId } = await createPersona(server, {}, { text: 'Good day.' })
    const body = {
      personaId,
      replacements: { name: 'Ada' },
      message: 'Good morning',
      externalUserId: 'u',
      metadata: { a: 1 },
    }
    const whole = await server.call<Conversation>('POST', '/conversations/persona', body)
    expect(whole.body).toMatchObject({
      chatStarted: true,
      chatMessagesCount: 4,
      conversationName: 'Good morning',
      metadata: { a: 1 },
    })
    expect(whole.body.chatMessages.map(({ content }) => content)).toEqual([
      'You are Ada.',
      'Hello from Ada.',
      'Good morning',
      'Good day.',
    ])
    expect(whole.headers.get('x-dramatis-run-id')).toBe(whole.body.chatMessages[3]?.conversationRunId)
    expect(await read(whole.body.conversationId)).toEqual(whole.body)

    const streamed = await server.call('POST', '/conversations/persona', { ...body, stream: true })
    expect(streamed.headers.get('content-type')).toMatch(/^text\/event-stream/)
    const [first, ...events] = parseSse(streamed.text)
    expect(first).toMatchObject({ event: 'conversation', id: null })
    const told = JSON.parse(first?.data ?? '') as Conversation
    expect(told).toMatchObject({ chatStarted: true, chatMessagesCount: 3 })
    expect(roles(told)).toEqual(['system', 'assistant', 'user'])
    const runId = streamed.headers.get('x-dramatis-run-id')
    expect(events.slice(0, -1).map(({ id }) => id)).toEqual([0, 1, 2].map((n) => `${runId}:${n}`))
    expect(events.at(-1)?.data).toBe('[DONE]')
    const stored = await read(told.conversationId)
    expect(stored.chatMessages.slice(0, 3)).toEqual(told.chatMessages)
    expect(stored.chatMessages[3]).toMatchObject({ content: 'Good day.', conversationRunId: runId })
    const [one, two] = [await start({ message: null }), await start({ stream: false, message: 'Hi' })]
    expect([one.chatMessages.length, two.chatMessages.length]).toEqual([0, 2])
  })

  test('may go on from a history', async () => {
    const messages = [
      { role: 'system', content: 'You are {{name}}.' },
      { role: 'user', content: 'Hi {{name}}' },
      { role: 'assistant', content: 'Hello!', name: 'Ada' },
      { role: 'user', content: 'How are you?' },
      { role: 'tool', content: '42', toolCallId: 'call-1', name: 'answer' },
      { role: 'assistant', content: 'Fine.' },
    ]
    const made = await start({ messages, replacements: { name: 'Ada' } })
    expect(made).toMatchObject({ chatStarted: true, chatMessagesCount: 6 })
    expect(roles(made)).toEqual(messages.map(({ role }) => role))
    expect(made.chatMessages[1]?.content).toBe('Hi {{name}}')
    expect(made.chatMessages[4]).toMatchObject({ toolCallId: 'call-1', name: 'answer' })
    expect(await read(made.conversationId)).toEqual(made)
    expect((await say(made.conversationId, 'Go on')).status).toBe(200)
    expect(roles(await read(made.conversationId)).slice(-2)).toEqual(['user', 'assistant'])

    const separate = await start({ systemMessage: 'Be brief.', messages: messages.slice(1, 3), message: 'And now?' })
    expect(roles(separate)).toEqual(['system', 'user', 'assistant', 'user', 'assistant'])
    expect((await start({ messages: [{ role: 'assistant', content: 'Hello' }] }))['chatStarted']).toBe(false)
    expect(await start({ messages: [] })).toMatchObject({ chatMessages: [], chatStarted: false })
  })

  test('with a thousand messages of history are kept in order', async () => {
    const messages = Array.from({ length: 1_000 }, (_, i) => ({
      role: i % 2 ? 'assistant' : 'user',
      content: `Message ${i}`,
    }))
    const made = await start({ messages })
    expect(made.chatMessagesCount).toBe(1_000)
    expect((await say(made.conversationId, 'Last')).status).toBe(200)
    const contents = (await read(made.conversationId)).chatMessages.map(({ content }) => content)
    expect(contents.slice(0, 1_001)).toEqual([...messages.map(({ content }) => content), 'Last'])
  })

  test('with the default AI system settle on what it is when they start', async () => {
    expect(await start({ aiSystem: 0, model: 'default' })).toMatchObject({ aiSystem: 'rehearsal', model: 'rehearsal' })
    const persona = await withPersona({ aiSystem: 'HyperleapAi', model: 'default' })
    expect(persona).toMatchObject({ aiSystem: 'rehearsal', model: 'rehearsal' })
  })

  test('that were never there are a 404', async () => {
    expectError(await server.call('GET', '/conversations/01890000-0000-7000-8000-000000000000'), 'not_found')
    expectError(await server.call('GET', `/conversations/${NIL}`), 'not_found')
  })
})

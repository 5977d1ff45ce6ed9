import { afterAll, beforeAll, expect, test } from 'vitest'
import { createConversation, parseSse, type RunningApp, startApp } from '../support/app.ts'
import { onEveryDatabase } from '../support/databases.ts'

type Item = {
  choice: { finish_reason: string | null; index: number; message: { role?: string; content: string } }
  usage?: { prompt_tokens: number; completion_tokens: number; total_tokens: number }
  messageId: string
  runId: string
  error?: { code: string; runId: string }
}
type Message = { role: string; content: string; messageId: string; conversationRunId: string; totalTokens: number }
type Conversation = { chatMessages: Message[]; totalTokens: number; conversationName: string; chatStarted: boolean }

onEveryDatabase('turns', (kind) => {
  let server: RunningApp
  beforeAll(async () => {
    server = await startApp(kind)
  })
  afterAll(() => server.close())

  const read = async (id: string) => (await server.call<Conversation>('GET', `/conversations/${id}`)).body

  test('answers at once with what is stored', async () => {
    const id = await createConversation(server)
    const answer = await server.call('PATCH', `/conversations/${id}/chat?stream=true`, { message: 'Hi there' })
    expect(answer.status).toBe(200)
    expect(answer.body).toMatchObject({
      object: 'chat.completion',
      choices: [{ finish_reason: 'stop', index: 0, message: { role: 'assistant', content: 'One two three.' } }],
      usage: { completion_tokens: 3 },
    })
    const conversation = await read(id)
    const reply = conversation.chatMessages.at(-1)
    expect(reply).toMatchObject({
      role: 'assistant',
      content: 'One two three.',
      messageId: answer.body['messageId'],
      conversationRunId: answer.body['runId'],
    })
    expect(conversation).toMatchObject({
      chatStarted: true,
      conversationName: 'Hi there',
      totalTokens: reply?.totalTokens,
    })
    expect(answer.headers.get('x-dramatis-run-id')).toBe(answer.body['runId'])
  })

  test.each(['chat-sse', 'continue-sse'])('streams events over %s', async (endpoint) => {
    const id = await createConversation(server)
    const answer = await server.call('POST', `/conversations/${id}/${endpoint}`, { message: 'Hi' })
    expect(answer.headers.get('content-type')).toMatch(/^text\/event-stream/)
    const events = parseSse(answer.text)
    expect(events.at(-1)).toEqual({ id: null, event: null, data: '[DONE]' })
    const items = events.slice(0, -1).map(({ data }) => JSON.parse(data) as Item)
    const runId = answer.headers.get('x-dramatis-run-id')
    expect(events.slice(0, -1).map((event) => event.id)).toEqual(items.map((_, n) => `${runId}:${n}`))
    expect(items.map(({ choice }) => choice.message.content)).toEqual(['One', ' two', ' three.', ''])
    expect(items.map(({ choice }) => choice.message.role)).toEqual(['assistant', undefined, undefined, undefined])
    expect(items.map(({ choice }) => choice.finish_reason)).toEqual([null, null, null, 'stop'])
    expect(items.at(-1)?.usage?.completion_tokens).toBe(3)
    const reply = (await read(id)).chatMessages.at(-1)
    expect(new Set(items.map(({ messageId }) => messageId))).toEqual(new Set([reply?.messageId]))
    expect(new Set(items.map((item) => item.runId))).toEqual(new Set([runId]))
  })

  // Tried again, because a busy machine may read two writes as one.
  test.each(['chat-http2', 'continue'])(
    'writes a JSON array piece by piece over %s',
    { retry: 5 },
    async (endpoint) => {
      const id = await createConversation(server, { text: 'One two three.', tokensPerSecond: 50 })
      const response = await server.open('PATCH', `/conversations/${id}/${endpoint}`, { message: 'Hi' })
      expect(response.headers.get('content-type')).toMatch(/^application\/json/)
      const pieces: string[] = []
      const decoder = new TextDecoder()
      for await (const piece of response.body as ReadableStream<Uint8Array>) pieces.push(decoder.decode(piece))
      expect(pieces[0]).toMatch(/^\[\{/)
      expect(pieces.at(-1)).toBe(']')
      for (let n = 1; n < pieces.length; n++) {
        const prefix = pieces.slice(0, n).join('')
        expect((JSON.parse(`${prefix}]`) as Item[]).length).toBe(n)
      }
      const items = JSON.parse(pieces.join('')) as Item[]
      expect(items.map(({ choice }) => choice.message.content).join('')).toBe('One two three.')
      expect(items.at(-1)).toMatchObject({ choice: { finish_reason: 'stop' }, usage: { completion_tokens: 3 } })
    },
  )

  test('refuses a second turn and names the first', async () => {
    const id = await createConversation(server, { text: 'a b c d e f', tokensPerSecond: 20 })
    const first = await server.open('PATCH', `/conversations/${id}/chat-sse`, { message: 'one' })
    const second = await server.call<{ error: object }>('PATCH', `/conversations/${id}/chat`, { message: 'two' })
    expect(second.status).toBe(409)
    expect(second.body.error).toMatchObject({
      code: 'conflict',
      conversationId: id,
      runId: first.headers.get('x-dramatis-run-id'),
    })
    await first.text()
    expect((await server.call('PATCH', `/conversations/${id}/chat`, { message: 'two' })).status).toBe(200)
    const roles = (await read(id)).chatMessages.map(({ role }) => role)
    expect(roles).toEqual(['system', 'assistant', 'user', 'assistant', 'user', 'assistant'])
  })

  test('lets exactly one of many simultaneous sends through', async () => {
    const id = await createConversation(server, { text: 'a b c', delayMs: 25_000 })
    const refused: string[] = []
    const send = async (message: string) => {
      const answer = await server.call<{ error?: { runId: string } }>('PATCH', `/conversations/${id}/chat`, { message })
      if (answer.status === 409) refused.push(answer.body.error?.runId as string)
      // The first runs until the last has come, however long that takes.
      if (refused.length === 19) await server.call('POST', `/conversations/${id}/runs/${refused[0]}/cancel`)
      return answer.status
    }
    const statuses = await Promise.all(Array.from({ length: 20 }, (_, i) => send(`message ${i}`)))
    expect(statuses.sort()).toEqual([...new Array(19).fill(409), 499])
    expect(new Set(refused).size).toBe(1)
    expect((await read(id)).chatMessages).toHaveLength(3)
  })

  test('goes on when the client goes away', async () => {
    const id = await createConversation(server, { text: 'one two three four five six', tokensPerSecond: 30 })
    const away = new AbortController()
    const response = await fetch(`${server.url}/conversations/${id}/chat-sse`, {
      method: 'PATCH',
      headers: { 'x-hl-api-key': 'test-key-that-is-long-enough-for-anything', 'content-type': 'application/json' },
      body: '{"message":"hi"}',
      signal: away.signal,
    })
    await response.body?.getReader().read()
    away.abort()
    await expect.poll(async () => (await read(id)).chatMessages.at(-1)?.content).toBe('one two three four five six')
  })

  test('keeps the text when it is cancelled, and gives a receipt', async () => {
    const id = await createConversation(server, { text: 'one two three four five six', tokensPerSecond: 20 })
    const response = await server.open('PATCH', `/conversations/${id}/chat-sse`, { message: 'hi' })
    const runId = response.headers.get('x-dramatis-run-id')
    const receipt = await server.call('POST', `/conversations/${id}/runs/${runId}/cancel`)
    expect(receipt.body).toMatchObject({ runId, status: 'cancelled', finishReason: 'cancelled' })
    const items = parseSse(await response.text())
      .slice(0, -1)
      .map(({ data }) => JSON.parse(data) as Item)
    expect(items.at(-1)?.choice.finish_reason).toBe('cancelled')
    const sent = items.map(({ choice }) => choice.message.content).join('')
    expect(sent.length).toBeGreaterThan(0)
    expect((await read(id)).chatMessages.at(-1)?.content).toBe(sent)
    expect(receipt.body['textLength']).toBe(sent.length)
    const again = await server.call('POST', `/conversations/${id}/runs/${runId}/cancel`)
    expect(again.body).toEqual(receipt.body)
  })

  test('says what failed before any text, and keeps the message', async () => {
    const id = await createConversation(server, { failAtToken: 0, failure: 'error', text: 'a b' })
    const answer = await server.call<{ error: { code: string; runId: string } }>(
      'PATCH',
      `/conversations/${id}/chat-sse`,
      {
        message: 'hi',
      },
    )
    expect(answer.status).toBe(502)
    expect(answer.body.error).toMatchObject({ code: 'provider_error', conversationId: id })
    expect(answer.body.error.runId).toMatch(/^[0-9a-f-]{36}$/)
    expect((await read(id)).chatMessages.at(-1)).toMatchObject({ role: 'user', content: 'hi' })
  })

  test('ends a stream with an error item and an error event when the model fails in mid-sentence', async () => {
    const id = await createConversation(server, { failAtToken: 2, failure: 'cut', text: 'a b c d' })
    const answer = await server.call('PATCH', `/conversations/${id}/chat-sse`, { message: 'hi' })
    expect(answer.status).toBe(200)
    const events = parseSse(answer.text)
    const [first, second, last, error, done] = events
    expect(
      JSON.parse(first?.data ?? '').choice.message.content + JSON.parse(second?.data ?? '').choice.message.content,
    ).toBe('a b')
    expect(JSON.parse(last?.data ?? '')).toMatchObject({
      choice: { finish_reason: 'error', message: { content: '' } },
      usage: { completion_tokens: expect.any(Number) },
    })
    expect(error).toMatchObject({ event: 'error', id: expect.stringMatching(/:3$/) })
    expect(JSON.parse(error?.data ?? '')).toMatchObject({ error: { code: 'provider_error', conversationId: id } })
    expect(done?.data).toBe('[DONE]')
    expect((await read(id)).chatMessages.at(-1)).toMatchObject({ role: 'assistant', content: 'a b' })

    const array = await server.call<Item[]>('PATCH', `/conversations/${id}/continue`, { message: 'hi' })
    expect(array.body.at(-1)).toMatchObject({ choice: { finish_reason: 'error' }, error: { code: 'provider_error' } })
    const whole = await server.call<{ error: object }>('PATCH', `/conversations/${id}/chat`, { message: 'hi' })
    expect(whole.status).toBe(502)
    expect(whole.body.error).toMatchObject({ conversationId: id, runId: expect.any(String) })
  })

  test('creates and sends in one request', async () => {
    const body = {
      aiSystem: 'rehearsal',
      model: 'rehearsal',
      configuration: { rehearsal: { text: 'Hello you.' } },
      message: 'Hi',
    }
    const whole = await server.call<Conversation>('POST', '/conversations', body)
    expect(whole.body.chatMessages.map(({ role, content }) => [role, content])).toEqual([
      ['user', 'Hi'],
      ['assistant', 'Hello you.'],
    ])
    const streamed = await server.call('POST', '/conversations', { ...body, stream: true })
    const [conversation, ...rest] = parseSse(streamed.text)
    expect(conversation).toMatchObject({ event: 'conversation', id: null })
    expect(Object.keys(JSON.parse(conversation?.data ?? ''))).toHaveLength(20)
    expect(
      rest
        .slice(0, -1)
        .map(({ data }) => JSON.parse(data).choice.message.content)
        .join(''),
    ).toBe('Hello you.')
  })

  test('cancels what is running when the conversation is deleted', async () => {
    const id = await createConversation(server, { text: 'one two three four five six', tokensPerSecond: 20 })
    const response = await server.open('PATCH', `/conversations/${id}/chat-sse`, { message: 'hi' })
    expect((await server.call('DELETE', `/conversations/${id}`)).status).toBe(204)
    const events = parseSse(await response.text())
    expect(JSON.parse(events.at(-2)?.data ?? '').choice.finish_reason).toBe('cancelled')
    expect((await server.call('GET', `/conversations/${id}`)).status).toBe(410)
    expect((await server.call('PATCH', `/conversations/${id}/chat`, { message: 'x' })).status).toBe(410)
  })
})

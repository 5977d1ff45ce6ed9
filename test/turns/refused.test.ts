import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { type RunningApp, startApp } from '../support/app.ts'
import { onEveryDatabase } from '../support/databases.ts'
import { chatReply, type ProviderServer, startProviderServer } from '../support/provider-server.ts'

type Sent = { messages: { role: string; content: string }[] }
type Message = { role: string; content: string; messageId: string; leftOut?: string }

onEveryDatabase('what a provider refuses', (kind) => {
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
    provider.always(null)
  })

  const start = async () => {
    const answer = await server.call<{ conversationId: string }>('POST', '/conversations', {
      aiSystem: 'openai-compatible',
      model: 'm',
    })
    expect(answer.status, answer.text).toBe(200)
    return answer.body.conversationId
  }
  const say = async (id: string, message: string) =>
    (await server.call('POST', `/conversations/${id}/chat`, { message })).status
  const messagesOf = async (id: string) =>
    (await server.call<{ chatMessages: Message[] }>('GET', `/conversations/${id}`)).body.chatMessages
  const lastSent = () => (provider.requests.at(-1)?.body as Sent | undefined)?.messages ?? []
  /** Refuses every request in which this is said. */
  const refuse = (words: string, error: object) =>
    provider.always(({ body }) =>
      JSON.stringify((body as Sent).messages).includes(words)
        ? { status: 400, headers: { 'content-type': 'application/json' }, pieces: [JSON.stringify({ error })] }
        : chatReply(['fine']),
    )

  const FILTERED = {
    message: "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
    code: 'content_filter',
    status: 400,
  }

  test.each([
    ['by a filter', FILTERED],
    ['without a reason', { message: 'Provider returned error' }],
    ['because it is too long', { message: 'Input is too long for requested model.' }],
  ])('a message refused %s stays in the transcript with a mark, and later turns go without it', async (_, error) => {
    refuse('forbidden', error)
    const id = await start()
    expect(await say(id, 'Hello')).toBe(200)
    expect(await say(id, 'a forbidden word')).toBe(422)
    expect(await say(id, 'And now?')).toBe(200)
    expect(lastSent()).toEqual([
      { role: 'user', content: 'Hello' },
      { role: 'assistant', content: 'fine' },
      { role: 'user', content: 'And now?' },
    ])
    expect((await messagesOf(id)).map(({ content, leftOut }) => [content, leftOut])).toEqual([
      ['Hello', undefined],
      ['fine', undefined],
      ['a forbidden word', 'refused'],
      ['And now?', undefined],
      ['fine', undefined],
    ])
    // From memory as well.
    expect(await say(id, 'Still there?')).toBe(200)
    expect(JSON.stringify(lastSent())).not.toContain('forbidden')
  })

  test('a refused message that is answered later is sent again', async () => {
    refuse('forbidden', FILTERED)
    const id = await start()
    expect(await say(id, 'a forbidden word')).toBe(422)
    provider.always(null)
    expect((await server.call('POST', `/conversations/${id}/regenerate`, {})).status).toBe(200)
    expect((await messagesOf(id)).map(({ leftOut }) => leftOut)).toEqual([undefined, undefined])
    expect(await say(id, 'And now?')).toBe(200)
    expect(lastSent()[0]?.content).toBe('a forbidden word')
  })

  test('what was answered once and is refused now does not end the talk', async () => {
    const id = await start()
    expect(await say(id, 'a forbidden word')).toBe(200)
    refuse('forbidden', FILTERED)
    expect(await say(id, 'One')).toBe(422)
    expect(await say(id, 'Two')).toBe(200)
    expect(lastSent()).toEqual([{ role: 'user', content: 'Two' }])
    expect(await say(id, 'Three')).toBe(200)
    expect(lastSent().map(({ content }) => content)).toEqual(['Two', 'fine', 'Three'])
  })

  test.each([
    ['an account without money', { message: 'Your credit balance is too low to access the Anthropic API.' }],
    ['a model that is not there', { message: 'The model `m` does not exist' }],
  ])('%s is nothing that a message could help', async (_, error) => {
    refuse('Hello', error)
    const id = await start()
    expect(await say(id, 'Hello')).toBe(422)
    expect((await messagesOf(id)).map(({ leftOut }) => leftOut)).toEqual([undefined])
  })
})

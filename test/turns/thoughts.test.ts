import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { createPersona, type Json, type RunningApp } from '../support/app.ts'
import { startAppWithProvider } from '../support/app-with-provider.ts'
import { onEveryDatabase } from '../support/databases.ts'
import { type Behaviour, chatChunk, chatReply, type ProviderServer } from '../support/provider-server.ts'
import { itemsOf, readConversation, startWithTools, type Whole } from '../support/tools.ts'

type Thinking = { choice: { message: { content: string; reasoning?: string } }; contentWasReasoning?: boolean }
type Reply = { choices: { message: { content: string; reasoning?: string } }[]; runId: string; usage: Json }

const EVENTS = { accept: 'text/event-stream' }
const MODEL = { aiSystem: 'openai-compatible', model: 'm' }

onEveryDatabase('thoughts', (kind) => {
  let server: RunningApp
  let provider: ProviderServer
  beforeAll(async () => {
    ;({ server, provider } = await startAppWithProvider(kind, { OPENAI_COMPATIBLE_MODEL: 'm' }))
  })
  afterAll(() => server.close())
  beforeEach(() => {
    provider.requests.length = 0
  })

  const start = async (configuration: Json = {}) =>
    (await server.call('POST', '/conversations', { ...MODEL, configuration })).body['conversationId'] as string
  const chat = async (id: string, query = '', message = 'Hi') =>
    (await server.call<Reply>('POST', `/conversations/${id}/chat${query}`, { message })).body
  const stream = async (id: string, query = '') =>
    (await server.open('POST', `/conversations/${id}/chat-sse${query}`, { message: 'Hi' })).text()
  const sent = () => ((provider.requests.at(-1)?.body ?? {}) as { messages: Json[] }).messages
  const messageOf = ({ choices }: Reply) => choices[0]?.message

  const USAGE = { prompt_tokens: 7, completion_tokens: 9, completion_tokens_details: { reasoning_tokens: 5 } }
  const thinking = (): Behaviour =>
    replyOf([{ reasoning_content: 'Let me ' }, { reasoning_content: 'see.' }, { content: 'Hello' }])
  function replyOf(deltas: readonly Json[], finishReason = 'stop'): Behaviour {
    const pieces = deltas.map((delta) => chatChunk([{ index: 0, delta, finish_reason: null }]))
    const end = [chatChunk([{ index: 0, delta: {}, finish_reason: finishReason }]), chatChunk([], { usage: USAGE })]
    return { headers: { 'content-type': 'text/event-stream' }, pieces: [...pieces, ...end, 'data: [DONE]\n\n'] }
  }

  test('are no part of a reply, and items of their own for those who ask', async () => {
    provider.script([thinking(), thinking()])
    const plain = itemsOf(await stream(await start()))
    expect(plain.items.map((item) => item.choice.message.content)).toEqual(['Hello', ''])
    expect(plain.events.map(({ id }) => id?.split(':')[1])).toEqual(['0', '1'])
    const id = await start()
    const text = await stream(id, '?reasoning=true')
    const { items, events } = itemsOf(text)
    expect(items.map((item) => (item as Thinking).choice.message.reasoning ?? null)).toEqual([
      'Let me ',
      'see.',
      null,
      null,
    ])
    expect(events.map((event) => event.id?.split(':')[1])).toEqual(['0', '1', '2', '3'])

    const runId = items[0]?.runId ?? ''
    const path = `/conversations/${id}/runs/${runId}`
    expect(await (await server.open('GET', `${path}/events?reasoning=true`)).text()).toBe(text)
    const rest = await (await server.open('GET', `${path}/events`, undefined, { 'last-event-id': `${runId}:0` })).text()
    expect(itemsOf(rest).events.map((event) => event.id)).toEqual([`${runId}:1`])
    const { body: shown } = await server.call('GET', `${path}?reasoning=true`)
    expect(shown).toMatchObject({
      reasoning: 'Let me see.',
      usage: { completion_tokens_details: { reasoning_tokens: 5 } },
    })
    expect((await server.call('GET', path)).body).not.toHaveProperty('reasoning')
    expect(await readConversation(server, id)).toMatchObject({
      chatMessages: [{ content: 'Hi' }, { content: 'Hello' }],
    })
  })

  test('stand beside a whole reply for those who ask, and are counted on their own', async () => {
    provider.script([thinking(), thinking()])
    const id = await start()
    const reply = await chat(id)
    expect(messageOf(reply)).not.toHaveProperty('reasoning')
    expect(reply.usage).toMatchObject({ completion_tokens: 9, completion_tokens_details: { reasoning_tokens: 5 } })
    expect(messageOf(await chat(id, '?reasoning=true'))).toMatchObject({ content: 'Hello', reasoning: 'Let me see.' })
    expect(JSON.stringify(sent())).not.toContain('see.')
  })

  test('in tags are none either, also where only their end is written', async () => {
    provider.script([
      chatReply(['<th', 'ink>se', 'cret</think>', '\n\nHello']),
      chatReply(['secret\n', '</think>', '\n\nHello']),
    ])
    const id = await start()
    expect(messageOf(await chat(id))?.content).toBe('Hello')
    const text = await stream(id)
    expect(itemsOf(text).items.filter((item) => (item as Thinking).contentWasReasoning)).toHaveLength(1)
    const { runId = '' } = itemsOf(text).items[0] ?? {}
    expect(await (await server.open('GET', `/conversations/${id}/runs/${runId}/events`)).text()).toBe(text)
    const receipt = await server.call('POST', `/conversations/${id}/runs/${runId}/cancel`)
    expect(receipt.body['textLength']).toBe('Hello'.length)
    await chat(id)
    expect(JSON.stringify(sent())).not.toContain('secret')
    expect((await readConversation(server, id)).chatMessages.filter(({ content }) => /secret/.test(content))).toEqual(
      [],
    )
    const { body: run } = await server.call('GET', `/conversations/${id}/runs/${runId}?reasoning=true`)
    expect(run['reasoning']).toBe('secret')
  })

  test('with calls go back in the same turn and in later ones, and nowhere else', async () => {
    const tool = { type: 'client', name: 'get', description: 'g', inputSchema: { type: 'object' } }
    const id = await startWithTools(server, [tool], {}, MODEL)
    const call = {
      index: 0,
      id: 'c1',
      type: 'function',
      function: { name: 'get', arguments: '{}' },
      extra_content: { google: { thought_signature: 's1' } },
    }
    provider.script([replyOf([{ reasoning_content: 'Look it up.' }, { tool_calls: [call] }], 'tool_calls')])
    const called = (await server.call<Whole>('POST', `/conversations/${id}/chat`, { message: 'Weather?' })).body
    const [{ toolCallId } = { toolCallId: '' }] = called.choices[0]?.message.toolCalls ?? []
    const results = [{ toolCallId, content: 'rain' }]
    await server.call('POST', `/conversations/${id}/tool-results`, { results })
    const wanted = { reasoning_content: 'Look it up.', tool_calls: [{ extra_content: call.extra_content }] }
    expect(sent()[1]).toMatchObject(wanted)
    await chat(id, '', 'And then?')
    expect(sent()[1]).toMatchObject(wanted)
    // Read from the database, which an edited message always is.
    const { chatMessages } = await readConversation(server, id)
    const last = chatMessages.findLast(({ role }) => role === 'user')
    await server.call('PATCH', `/conversations/${id}/messages/${last?.messageId}`, { content: 'And now?' })
    expect(sent()[1]).toMatchObject(wanted)
    expect(sent().at(-1)).toMatchObject({ content: 'And now?' })
    for (const path of [
      `/conversations/${id}`,
      `/conversations/${id}/export?format=jsonl`,
      `/conversations/${id}/export?format=openai`,
    ]) {
      expect(await (await server.open('GET', path)).text()).not.toMatch(/Look it up|thought_signature/)
    }
  })

  test('are shown to nobody where the configuration says so, or the persona is secret', async () => {
    provider.always(thinking())
    expect(messageOf(await chat(await start({ reasoning: { show: false } }), '?reasoning=true'))).not.toHaveProperty(
      'reasoning',
    )
    const personaConfiguration = (reasoning: Json) => ({
      ...MODEL,
      isSecret: true,
      personaConfiguration: { reasoning },
    })
    const seen = async (reasoning: Json) => {
      const { personaId } = await createPersona(server, personaConfiguration(reasoning))
      const { body } = await server.call('POST', '/conversations/persona', { personaId })
      const id = body['conversationId'] as string
      const text = await stream(id, '?reasoning=true')
      const { body: run } = await server.call(
        'GET',
        `/conversations/${id}/runs/${itemsOf(text).items[0]?.runId}?reasoning=true`,
      )
      return [/Let me/.test(text), run['reasoning']]
    }
    expect(await seen({ effort: 'low' })).toEqual([false, null])
    expect(await seen({ show: true })).toEqual([true, 'Let me see.'])
    provider.always(null)
  })

  test('keep a reply alive', async () => {
    const slow = [{ reasoning: 'hm ' }, { reasoning: 'hm ' }, { reasoning: 'hm ' }].flatMap((delta) => [
      chatChunk([{ index: 0, delta, finish_reason: null }]),
      { waitMs: 400 },
    ])
    const { pieces = [], ...rest } = chatReply(['Hello'])
    provider.script([{ ...rest, pieces: [...slow, ...pieces] }])
    const id = await start({ timeouts: { firstTokenMs: 800, betweenTokensMs: 800 } })
    expect(messageOf(await chat(id))?.content).toBe('Hello')
  })

  test('without an answer are none', async () => {
    provider.script([
      {
        ...replyOf([{ reasoning: 'hm' }]),
        pieces: [chatChunk([{ index: 0, delta: { reasoning: 'hm' }, finish_reason: null }])],
        ending: 'cut',
      },
    ])
    provider.always({ status: 400, pieces: ['{"error":{"message":"no"}}'] })
    const id = await start()
    const answer = await server.call('POST', `/conversations/${id}/chat`, { message: 'Hi' }, EVENTS)
    expect(answer.status).toBe(422)
    expect((await readConversation(server, id)).chatMessages.map(({ role }) => role)).toEqual(['user'])
    provider.always(null)
  })
})

import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { expectError, type Json, type RunningApp } from '../support/app.ts'
import { startAppWithProvider } from '../support/app-with-provider.ts'
import { onEveryDatabase } from '../support/databases.ts'
import { chatReply, fixtureReply, type ProviderServer } from '../support/provider-server.ts'
import { itemsOf, readConversation, shapeOf, startWithTools, type Whole } from '../support/tools.ts'

const schema = { type: 'object', properties: { city: { type: 'string' } } }
const weather = { type: 'client', name: 'get_weather', description: 'The weather of a city.', inputSchema: schema }
const time = { type: 'client', name: 'get_time', description: 'The time.', inputSchema: { type: 'object' } }
const EVENTS = { accept: 'text/event-stream' }

const OUR_ID = /^call_[0-9a-f]{24}$/

onEveryDatabase('tools that the caller runs', (kind) => {
  let server: RunningApp
  let provider: ProviderServer
  beforeAll(async () => {
    ;({ server, provider } = await startAppWithProvider(kind, {
      OPENAI_COMPATIBLE_MODEL: 'm',
    }))
  })
  afterAll(() => server.close())
  beforeEach(() => {
    provider.requests.length = 0
  })

  const lastRequest = () => (provider.requests.at(-1)?.body ?? {}) as { messages: Json[]; tools: unknown[] }
  const calls = [[{ name: 'get_weather', input: { city: 'Bern' } }, { name: 'get_time' }]]
  const start = (script: Json = { text: 'It rains.', toolCalls: calls }) =>
    startWithTools(server, [weather, time], { rehearsal: script })
  const chat = (id: string, message = 'Weather?') =>
    server.call<Whole>('POST', `/conversations/${id}/chat`, { message })
  const answer = (id: string, results: Json[], headers: Record<string, string> = {}) =>
    server.call<Whole>('POST', `/conversations/${id}/tool-results`, { results }, headers)

  test('end the run with tool_calls, and the results continue it', async () => {
    const id = await start()
    const called = await chat(id)
    const { finish_reason, message } = called.body.choices[0] as Whole['choices'][0]
    expect(finish_reason).toBe('tool_calls')
    expect(message.toolCalls).toMatchObject([
      { name: 'get_weather', input: { city: 'Bern' } },
      { name: 'get_time', input: {} },
    ])
    const [first = '', second = ''] = (message.toolCalls ?? []).map(({ toolCallId }) => toolCallId)
    const replied = await answer(id, [
      { toolCallId: second, error: 'no clock' },
      { toolCallId: first, content: { sky: 'rain' } },
    ])
    expect(replied.body.choices).toMatchObject([{ finish_reason: 'stop', message: { content: 'It rains.' } }])
    const { chatMessages, chatMessagesCount, totalTokens } = await readConversation(server, id)
    expect(chatMessages).toMatchObject([
      { role: 'user', content: 'Weather?' },
      { role: 'assistant', content: '', messageId: called.body.messageId, conversationRunId: called.body.runId },
      { role: 'tool', content: '{"sky":"rain"}', toolCallId: first, name: 'get_weather' },
      { role: 'tool', content: 'Error: no clock', toolCallId: second, name: 'get_time' },
      { role: 'assistant', content: 'It rains.', messageId: replied.body.messageId },
    ])
    expect(chatMessages.map((one) => Object.keys(one).length)).toEqual(new Array(5).fill(11))
    expect(chatMessagesCount).toBe(5)
    expect(totalTokens).toBe(called.body.usage.total_tokens + replied.body.usage.total_tokens)
    const { body: run } = await server.call('GET', `/conversations/${id}/runs/${replied.body.runId}`)
    expect(run).toMatchObject({ kind: 'tools', status: 'completed', userMessageId: chatMessages[3]?.messageId })
  })

  test('are items of their own in both streams, replayed byte for byte', async () => {
    const id = await start()
    const text = await (await server.open('POST', `/conversations/${id}/chat-sse`, { message: 'Hi' })).text()
    const { events, items } = itemsOf(text)
    expect(shapeOf(items)).toEqual(['calls:get_weather,get_time', 'end:tool_calls'])
    expect(items[0]?.choice.message).toMatchObject({ role: 'assistant', content: '' })
    const runId = items[0]?.runId
    expect(events.map((event) => event.id)).toEqual([`${runId}:0`, `${runId}:1`])
    const path = `/conversations/${id}/runs/${runId}/events`
    expect((await server.call('GET', path)).text).toBe(text)
    expect(itemsOf((await server.call('GET', `${path}?after=0`)).text).events).toEqual(events.slice(1))

    const results = (items[0]?.choice.message.toolCalls ?? []).map(({ toolCallId }) => ({ toolCallId, content: 'ok' }))
    const continued = await answer(id, results, EVENTS)
    expect(continued.headers.get('content-type')).toMatch(/^text\/event-stream/)
    expect(shapeOf(itemsOf(continued.text).items)).toEqual(['text', 'text', 'end:stop'])

    const other = await start()
    const array = await server.call('POST', `/conversations/${other}/continue`, { message: 'Hi' })
    expect(shapeOf(JSON.parse(array.text))).toEqual(['calls:get_weather,get_time', 'end:tool_calls'])
  })

  test('go to a provider as it wants them, with arguments that come in pieces', async () => {
    const id = await startWithTools(server, [weather, time], {}, { aiSystem: 'openai-compatible', model: 'm' })
    provider.script([fixtureReply('chat-completions/tool-calls.sse', { chunkBytes: 50 }), chatReply(['Sun', '.'])])
    const called = await chat(id)
    const toolCalls = called.body.choices[0]?.message.toolCalls ?? []
    expect(toolCalls).toEqual([
      { toolCallId: expect.stringMatching(OUR_ID), name: 'get_weather', input: { city: 'Zürich' } },
      { toolCallId: expect.stringMatching(OUR_ID), name: 'get_time', input: { zone: 'Europe/Zurich' } },
    ])
    const replied = await answer(
      id,
      toolCalls.map(({ toolCallId, name }) => ({ toolCallId, content: name })),
    )
    expect(replied.body.choices[0]?.message.content).toBe('Sun.')
    const { messages, tools } = lastRequest()
    expect(messages.map(({ role }) => role)).toEqual(['user', 'assistant', 'tool', 'tool'])
    expect(messages[2]).toEqual({ role: 'tool', tool_call_id: toolCalls[0]?.toolCallId, content: 'get_weather' })
    expect(tools).toHaveLength(2)
  })

  test('are closed as not answered by a new message', async () => {
    const id = await startWithTools(server, [weather, time], {}, { aiSystem: 'openai-compatible', model: 'm' })
    provider.script([fixtureReply('chat-completions/tool-calls.sse'), chatReply(['Fine.']), chatReply(['Again.'])])
    const { body } = await chat(id)
    expect((await chat(id, 'never mind')).body.choices[0]?.message.content).toBe('Fine.')
    const { chatMessages, chatMessagesCount } = await readConversation(server, id)
    expect(chatMessages.map(({ role }) => role)).toEqual(['user', 'assistant', 'tool', 'tool', 'user', 'assistant'])
    expect(chatMessages[2]).toMatchObject({ name: 'get_weather', content: 'Error: the call was not answered.' })
    expect(chatMessagesCount).toBe(6)
    const toolCallId = body.choices[0]?.message.toolCalls?.[0]?.toolCallId
    expectError(await answer(id, [{ toolCallId, content: 'late' }]), 'unprocessable_entity')
    await chat(id, 'and now?')
    const { messages } = lastRequest()
    const roles = ['user', 'assistant', 'tool', 'tool', 'user', 'assistant', 'user']
    expect(messages.map(({ role }) => role)).toEqual(roles)
    expect((await readConversation(server, id)).chatMessagesCount).toBe(8)
  })

  test('go on from a history that has them', async () => {
    const toolCalls = [{ toolCallId: 'old-1', name: 'get_time', input: {} }]
    const messages = [
      { role: 'user', content: 'Time?' },
      { role: 'assistant', content: '', toolCalls },
      { role: 'tool', content: 'noon', toolCallId: 'old-1', name: 'get_time' },
      { role: 'assistant', content: 'Noon.' },
      { role: 'user', content: 'And now?' },
      { role: 'assistant', content: '', toolCalls: [{ ...toolCalls[0], toolCallId: 'old-2' }] },
    ]
    const general = { aiSystem: 'openai-compatible', model: 'm' }
    const id = await startWithTools(server, [time], {}, { ...general, messages })
    provider.script([chatReply(['Still noon.'])])
    const replied = await answer(id, [{ toolCallId: 'old-2', content: 'noon' }])
    expect(replied.body.choices[0]?.message.content).toBe('Still noon.')
    const roles = lastRequest().messages.map(({ role }) => role)
    expect(roles).toEqual(['user', 'assistant', 'tool', 'assistant', 'user', 'assistant', 'tool'])
    const wrong = (message: Json) => server.call('POST', '/conversations', { ...general, messages: [message] })
    expectError(await wrong({ role: 'user', content: 'x', toolCalls }), 'bad_request')
    const empty = expectError(await wrong({ role: 'assistant', content: '' }), 'bad_request')
    expect(empty.details).toEqual([{ field: 'messages.0.content', issue: 'must not be empty' }])
  })

  test('refuse results that do not fit', async () => {
    const id = await start()
    expectError(await answer(id, [{ toolCallId: 'call_1', content: 'x' }]), 'unprocessable_entity')
    const [first, second] = (await chat(id)).body.choices[0]?.message.toolCalls ?? []
    const whole = [
      { toolCallId: first?.toolCallId, content: 'a' },
      { toolCallId: second?.toolCallId, content: 'b' },
    ]
    const missing = expectError(await answer(id, whole.slice(0, 1)), 'unprocessable_entity')
    expect(missing.details).toEqual([{ field: 'results', issue: `lacks the tool call ${second?.toolCallId}` }])
    expectError(await answer(id, [...whole, { toolCallId: 'other', content: 'x' }]), 'bad_request')
    expectError(await answer(id, [whole[0] as Json, whole[0] as Json]), 'bad_request')
    expectError(await answer(id, [{ toolCallId: first?.toolCallId }, whole[1] as Json]), 'bad_request')
    expectError(await answer(id, []), 'bad_request')
    expect((await answer(id, whole)).status).toBe(200)
    expectError(await answer(id, whole), 'unprocessable_entity')
  })

  test('are answered once, whoever sends the results again', async () => {
    const id = await start()
    const open = (await chat(id)).body.choices[0]?.message.toolCalls ?? []
    const results = open.map(({ toolCallId }) => ({ toolCallId, content: 'ok' }))
    const key = { 'idempotency-key': 'results-1' }
    const [one, two] = await Promise.all([answer(id, results, key), answer(id, results, key)])
    expect([one.status, two.status]).toEqual([200, 200])
    expect(one.body.runId).toBe(two.body.runId)
    expect((await answer(id, results, key)).body.messageId).toBe(one.body.messageId)
    expect((await readConversation(server, id)).chatMessages).toHaveLength(5)
  })

  test('take as many steps as the model wants, and none is lost when the answer is made again', async () => {
    const toolCalls = [[{ name: 'get_time' }], [{ name: 'get_weather', input: { city: 'Bern' } }]]
    const id = await start({ text: 'Done.', toolCalls })
    let reply = await chat(id)
    for (let step = 0; reply.body.choices[0]?.finish_reason === 'tool_calls'; step++) {
      const open = reply.body.choices[0].message.toolCalls ?? []
      reply = await answer(
        id,
        open.map(({ toolCallId }) => ({ toolCallId, content: `step ${step}` })),
      )
    }
    expect(reply.body.choices[0]?.message.content).toBe('Done.')
    const roles = async () => (await readConversation(server, id)).chatMessages.map(({ role }) => role)
    expect(await roles()).toEqual(['user', 'assistant', 'tool', 'assistant', 'tool', 'assistant'])
    const again = await server.call<Whole>('POST', `/conversations/${id}/regenerate`)
    expect(again.body.choices[0]?.finish_reason).toBe('tool_calls')
    expect(await roles()).toEqual(['user', 'assistant'])
    expect((await readConversation(server, id)).chatMessagesCount).toBe(2)
  })

  test('are checked when they are written', async () => {
    const create = (tools: unknown, more: Json = {}) =>
      server.call('POST', '/conversations', {
        aiSystem: 'rehearsal',
        model: 'rehearsal',
        configuration: { tools, ...more },
      })
    const fieldOf = async (tools: unknown, more?: Json) =>
      expectError(await create(tools, more), 'bad_request').details[0]?.field
    expect(await fieldOf([{ ...weather, name: 'a b' }])).toBe('configuration.tools.0.name')
    expect(await fieldOf([{ ...weather, name: undefined }])).toBe('configuration.tools.0.name')
    expect(await fieldOf([{ ...weather, type: 'magic' }])).toBe('configuration.tools.0.type')
    expect(await fieldOf([weather, weather])).toBe('configuration.tools.1.name')
    expect(await fieldOf([{ ...weather, inputSchema: { type: 'string' } }])).toBe(
      'configuration.tools.0.inputSchema.type',
    )
    const broken = { type: 'object', properties: { a: { type: 'nothing' } } }
    expect(await fieldOf([{ ...weather, inputSchema: broken }])).toBe('configuration.tools.0.inputSchema')
    expect(await fieldOf([weather], { maxToolSteps: 0 })).toBe('configuration.maxToolSteps')
    const persona = await server.call('POST', '/personas', {
      personaName: 'P',
      personaDescription: 'd',
      aiSystem: 'rehearsal',
      model: 'rehearsal',
      personaConfiguration: { tools: [{ type: 'client' }] },
    })
    expect(expectError(persona, 'bad_request').details[0]?.field).toBe('personaConfiguration.tools.0.name')
  })
})

import { Agent } from 'undici'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import {
  type Behaviour,
  fixtureReply,
  type ProviderServer,
  startProviderServer,
} from '../../../../test/support/provider-server.ts'
import type { ModelRequest } from '../model.ts'
import { readProviderSettings } from '../providers/provider-settings.ts'
import { createModelRegistry, type ModelRegistry } from '../providers/registry.ts'
import { createRehearsalModel } from '../providers/rehearsal.ts'
import { toolCallIdFor } from '../tool-call.ts'

let provider: ProviderServer
let registry: ModelRegistry
const dispatcher = new Agent({ allowH2: false })

beforeAll(async () => {
  provider = await startProviderServer()
  const settings = readProviderSettings({
    ANTHROPIC_API_KEY: 'k',
    ANTHROPIC_BASE_URL: provider.url,
    GEMINI_API_KEY: 'k',
    GOOGLE_GENERATIVE_AI_BASE_URL: `${provider.url}/v1beta`,
    MISTRAL_API_KEY: 'k',
    MISTRAL_BASE_URL: `${provider.url}/v1`,
    OPENAI_API_KEY: 'k',
    OPENAI_BASE_URL: `${provider.url}/v1`,
    OPENAI_COMPATIBLE_BASE_URL: `${provider.url}/v1`,
    OPENAI_COMPATIBLE_MODEL: 'm',
  })
  registry = createModelRegistry({ settings, dispatcher, clock: Date.now })
})
afterAll(async () => {
  await registry.close()
  await dispatcher.destroy()
  await provider.close()
})
beforeEach(() => {
  provider.requests.length = 0
})

const schema = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] }
const tools = [
  { name: 'get_weather', description: 'The weather', inputSchema: schema },
  { name: 'get_time', description: 'The time', inputSchema: { type: 'object', properties: {} } },
]
const requestWith = (more: Partial<ModelRequest> = {}): ModelRequest => ({
  system: 'Be brief.',
  messages: [{ role: 'user', content: 'Zürich?' }],
  settings: {},
  tools,
  attempt: 0,
  signal: new AbortController().signal,
  ...more,
})
async function ask(aiSystem: string, behaviour: Behaviour, more: Partial<ModelRequest> = {}) {
  provider.script([behaviour])
  const texts: string[] = []
  let signs = 0
  const model = await registry.open(aiSystem, 'default')
  const result = await model.generate(
    requestWith(more),
    (text) => texts.push(text),
    () => signs++,
  )
  return { text: texts.join(''), result, signs, body: provider.requests.at(-1)?.body as Record<string, unknown> }
}

const CALLS = [
  { name: 'get_weather', input: { city: 'Zürich' } },
  { name: 'get_time', input: { zone: 'Europe/Zurich' } },
]

describe('parallel calls', () => {
  test.each([
    ['openai', 'chat-completions/tool-calls.sse', ''],
    ['openai-compatible', 'chat-completions/tool-calls.sse', ''],
    ['openai-compatible', 'ollama/tool-calls.sse', ''],
    ['anthropic', 'anthropic/tool-calls.sse', "I'll look."],
    ['google', 'gemini/tool-calls.sse', ''],
  ])('of %s are put together from %s', async (aiSystem, fixture, said) => {
    const { text, result } = await ask(aiSystem, fixtureReply(fixture))
    expect(text).toBe(said)
    expect(result).toMatchObject({
      finishReason: 'tool_calls',
      usage: { promptTokens: 84, completionTokens: 43 },
      toolCalls: CALLS,
    })
    expect(new Set(result.toolCalls?.map(({ id }) => id)).size).toBe(2)
  })

  test.each([1, 7, 64])('in writes of %i bytes are the same, and are signs of life', async (chunkBytes) => {
    const reply = fixtureReply('chat-completions/tool-calls.sse', { chunkBytes })
    const { result, signs } = await ask('openai-compatible', reply)
    expect(result.toolCalls).toMatchObject(CALLS)
    expect(signs).toBeGreaterThan(5)
  })
})

const talk: ModelRequest['messages'] = [
  { role: 'user', content: 'Zürich?' },
  {
    role: 'assistant',
    content: '',
    toolCalls: [
      { id: 'call_1', name: 'get_weather', input: { city: 'Zürich' } },
      { id: 'call_2', name: 'get_time', input: {} },
    ],
  },
  { role: 'tool', toolCallId: 'call_1', name: 'get_weather', content: 'sun' },
  { role: 'tool', toolCallId: 'call_2', name: 'get_time', content: 'noon' },
]

describe('calls and their results go back', () => {
  test('in the shape of Chat Completions', async () => {
    const { body } = await ask('openai-compatible', fixtureReply('chat-completions/reply.sse'), { messages: talk })
    expect(body['messages']).toEqual([
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: 'Zürich?' },
      {
        role: 'assistant',
        content: null,
        tool_calls: [
          { id: 'call_1', type: 'function', function: { name: 'get_weather', arguments: '{"city":"Zürich"}' } },
          { id: 'call_2', type: 'function', function: { name: 'get_time', arguments: '{}' } },
        ],
      },
      { role: 'tool', tool_call_id: 'call_1', content: 'sun' },
      { role: 'tool', tool_call_id: 'call_2', content: 'noon' },
    ])
    expect(body['tools']).toEqual(
      tools.map(({ name, description, inputSchema: parameters }) => ({
        type: 'function',
        function: { name, description, parameters },
      })),
    )
    expect(body).not.toHaveProperty('tool_choice')
    const last = await ask('openai-compatible', fixtureReply('chat-completions/reply.sse'), { mustAnswer: true })
    expect(last.body['tool_choice']).toBe('none')
    const without = await ask('openai-compatible', fixtureReply('chat-completions/reply.sse'), { tools: [] })
    expect(without.body).not.toHaveProperty('tools')
  })

  test('in the shape of Anthropic, both results in one message of the user', async () => {
    const { body } = await ask('anthropic', fixtureReply('anthropic/reply.sse'), { messages: talk })
    expect(body['messages']).toMatchObject([
      { role: 'user' },
      {
        role: 'assistant',
        content: [
          { type: 'tool_use', id: 'call_1', input: { city: 'Zürich' } },
          { type: 'tool_use', id: 'call_2' },
        ],
      },
      {
        role: 'user',
        content: [
          { type: 'tool_result', tool_use_id: 'call_1', content: 'sun' },
          { type: 'tool_result', tool_use_id: 'call_2', content: 'noon' },
        ],
      },
    ])
    expect(body['tools']).toMatchObject([{ name: 'get_weather', input_schema: schema }, { name: 'get_time' }])
  })

  test('in the shape of Gemini, with its own signature, which nobody else gets', async () => {
    const { result } = await ask('google', fixtureReply('gemini/tool-calls.sse'))
    const toolCalls = result.toolCalls ?? []
    const messages: ModelRequest['messages'] = [
      { role: 'user', content: 'Zürich?' },
      { role: 'assistant', content: '', toolCalls },
      ...toolCalls.map(({ id, name }) => ({ role: 'tool' as const, toolCallId: id, name, content: 'fine' })),
    ]
    const { body } = await ask('google', fixtureReply('gemini/reply.sse'), { messages })
    const [, called, answered] = body['contents'] as { role: string; parts: Record<string, unknown>[] }[]
    expect(called?.parts[0]).toMatchObject({ thoughtSignature: 'EsYBCsMBAVSoXO4WkTz0sig=' })
    expect(answered?.parts.map((part) => (part['functionResponse'] as { name: string }).name)).toEqual([
      'get_weather',
      'get_time',
    ])
    const other = await ask('anthropic', fixtureReply('anthropic/reply.sse'), { messages })
    expect(JSON.stringify(other.body)).not.toContain('EsYBCsMB')
  })

  test('under ids that the provider takes', async () => {
    const { body } = await ask('mistral', fixtureReply('mistral/reply.sse'), { messages: talk })
    const [, , called, first] = body['messages'] as Record<string, unknown>[]
    const id = ((called?.['tool_calls'] ?? []) as { id: string }[])[0]?.id
    expect(id).toMatch(/^[a-z0-9]{9}$/)
    expect(first?.['tool_call_id']).toBe(id)
    expect(toolCallIdFor('openai', 'call_1')).toBe('call_1')
    expect(toolCallIdFor('openai', 'has space')).toMatch(/^call_[0-9a-f]{24}$/)
    expect(toolCallIdFor('openai', 'x'.repeat(41))).toHaveLength(29)
  })
})

test('what is no JSON object is named, and goes back as an empty one', async () => {
  const broken =
    'data: {"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"name":"f","arguments":"[1"}}]}}]}\n\n'
  const end = 'data: {"choices":[{"delta":{},"finish_reason":"tool_calls"}]}\n\ndata: [DONE]\n\n'
  const { result } = await ask('openai-compatible', { pieces: [broken, end] })
  expect(result.toolCalls).toEqual([
    { id: expect.stringMatching(/^call_\w+$/), name: 'f', input: {}, invalidInput: '[1' },
  ])
})

test('the rehearsal calls what its script says, step by step, and then answers', async () => {
  const settings = { rehearsal: { text: 'Done.', toolCalls: [[{ name: 'get_weather', input: { city: 'Bern' } }]] } }
  const model = createRehearsalModel()
  const texts: string[] = []
  const first = await model.generate(requestWith({ settings }), (text) => texts.push(text))
  expect(first).toMatchObject({
    finishReason: 'tool_calls',
    toolCalls: [{ name: 'get_weather', input: { city: 'Bern' } }],
  })
  expect(texts).toEqual([])
  const second = await model.generate(requestWith({ settings, messages: talk }), (text) => texts.push(text))
  expect(second).toMatchObject({ finishReason: 'stop' })
  expect(texts.join('')).toBe('Done.')
  const made = await model.generate(requestWith({ settings, mustAnswer: true }), () => {})
  expect(made.finishReason).toBe('stop')
})

import { Agent } from 'undici'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import {
  type Behaviour,
  chatChunk,
  fixtureReply,
  type ProviderServer,
  startProviderServer,
} from '../../../../test/support/provider-server.ts'
import type { JsonObject } from '../../lib/json.ts'
import type { ModelMessage, ModelRequest, ModelResult } from '../model.ts'
import { readProviderSettings } from '../providers/provider-settings.ts'
import { createModelRegistry, type ModelRegistry } from '../providers/registry.ts'

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
    GROQ_API_KEY: 'k',
    GROQ_BASE_URL: `${provider.url}/v1`,
    MISTRAL_API_KEY: 'k',
    MISTRAL_BASE_URL: `${provider.url}/v1`,
    COHERE_API_KEY: 'k',
    COHERE_BASE_URL: `${provider.url}/v2`,
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

async function ask(aiSystem: string, behaviour: Behaviour, more: Partial<ModelRequest> = {}, name = 'default') {
  provider.script([behaviour])
  const texts: string[] = []
  const thoughts: string[] = []
  const model = await registry.open(aiSystem, name)
  const request: ModelRequest = {
    system: null,
    messages: [{ role: 'user', content: 'Weather?' }],
    settings: {},
    tools: [{ name: 'get_weather', description: 'The weather.', inputSchema: { type: 'object', properties: {} } }],
    attempt: 0,
    signal: new AbortController().signal,
    ...more,
  }
  const result = await model.generate(
    request,
    (text) => texts.push(text),
    () => {},
    (thought) => thoughts.push(thought),
  )
  const body = provider.requests.at(-1)?.body as Record<string, unknown>
  return { text: texts.join(''), thought: thoughts.join(''), result, body }
}

function stream(deltas: readonly object[], usage: object = { prompt_tokens: 7, completion_tokens: 3 }): Behaviour {
  const pieces = deltas.map((delta) => chatChunk([{ index: 0, delta, finish_reason: null }]))
  const end = [
    chatChunk([{ index: 0, delta: {}, finish_reason: 'stop' }]),
    chatChunk([], { usage }),
    'data: [DONE]\n\n',
  ]
  return { headers: { 'content-type': 'text/event-stream' }, pieces: [...pieces, ...end] }
}

/** The talk after a reply, with the results of its calls if it has some. */
function talkAfter(content: string, { toolCalls = [], thoughts }: ModelResult): ModelMessage[] {
  return [
    { role: 'user', content: 'Weather?' },
    { role: 'assistant', content, ...(toolCalls.length > 0 && { toolCalls }), ...(thoughts && { thoughts }) },
    ...toolCalls.map(({ id, name }) => ({ role: 'tool' as const, toolCallId: id, name, content: '7 degrees' })),
    ...(toolCalls.length === 0 ? [{ role: 'user' as const, content: 'And then?' }] : []),
  ]
}

const CALL = { tool_calls: [{ index: 0, id: 'c1', type: 'function', function: { name: 'get', arguments: '{}' } }] }
const USUAL = 'chat-completions/reply.sse'

describe('beside calls', () => {
  const DETAILS = [
    { reasoning_details: [{ type: 'reasoning.text', text: 'Look ', index: 0, format: 'anthropic-claude-v1' }] },
    { reasoning_details: [{ type: 'reasoning.text', text: 'it up.', index: 0, format: 'anthropic-claude-v1' }] },
    { reasoning_details: [{ type: 'reasoning.text', signature: 'sig', index: 0, format: 'anthropic-claude-v1' }] },
    { reasoning_details: [{ type: 'reasoning.encrypted', data: 'ZW5j', id: 'rs_1', index: 1 }] },
  ]
  test.each<[string, object[], JsonObject]>([
    [
      'DeepSeek',
      [{ reasoning_content: 'Look ' }, { reasoning_content: 'it up.' }],
      { reasoning_content: 'Look it up.' },
    ],
    ['vLLM', [{ reasoning: 'Look ' }, { reasoning: 'it up.' }], { reasoning: 'Look it up.' }],
    [
      'OpenRouter',
      DETAILS,
      {
        reasoning_details: [
          { type: 'reasoning.text', text: 'Look it up.', signature: 'sig', index: 0, format: 'anthropic-claude-v1' },
          { type: 'reasoning.encrypted', data: 'ZW5j', id: 'rs_1', index: 1 },
        ],
      },
    ],
  ])('what %s has thought is heard, and goes back in its shape', async (_name, deltas, members) => {
    const { text, thought, result } = await ask('openai-compatible', stream([...deltas, CALL]))
    expect([text, thought]).toEqual(['', 'Look it up.'])
    const { body } = await ask('openai-compatible', fixtureReply(USUAL), { messages: talkAfter('', result) })
    const [, called] = body['messages'] as JsonObject[]
    expect(called).toEqual({ role: 'assistant', content: null, ...members, tool_calls: [expect.anything()] })
    const other = await ask('groq', fixtureReply(USUAL), { messages: talkAfter('', result) })
    expect(JSON.stringify(other.body)).not.toMatch(/reasoning/)
  })

  test('the same said twice is heard once', async () => {
    const delta = { reasoning: 'Hm.', reasoning_details: [{ type: 'reasoning.text', text: 'Hm.', index: 0 }] }
    expect((await ask('openai-compatible', stream([delta, { content: 'Hi' }]))).thought).toBe('Hm.')
  })

  test("the signature of a single call goes back with it, as Gemini's own door for this protocol wants", async () => {
    const extra = { extra_content: { google: { thought_signature: 'EsYBCsMB' } } }
    const signed = { tool_calls: [{ ...CALL.tool_calls[0], ...extra }] }
    const { result } = await ask('openai-compatible', stream([signed]))
    const { body } = await ask('openai-compatible', fixtureReply(USUAL), { messages: talkAfter('', result) })
    const [, called] = body['messages'] as JsonObject[]
    expect(called?.['tool_calls']).toMatchObject([extra])
  })

  test('thinking blocks of Anthropic go back whole and in their order, redacted ones too', async () => {
    const { text, thought, result } = await ask('anthropic', fixtureReply('anthropic/thinking-calls.sse'))
    expect([text, thought]).toEqual(['A moment.', 'Look it up.'])
    const talk = { messages: talkAfter('A moment.', result) }
    const { body } = await ask('anthropic', fixtureReply('anthropic/reply.sse'), talk)
    expect((body['messages'] as JsonObject[])[1]?.['content']).toMatchObject([
      { type: 'thinking', thinking: 'Look it up.', signature: 'EqQBCgIYAhIM1gbcDa9GJwZA2b3h' },
      { type: 'redacted_thinking', data: 'EmwKAhgBEgy3va3pzix/LafPsn4a' },
      { type: 'text', text: 'A moment.' },
      { type: 'tool_use', name: 'get_weather' },
    ])
    const other = await ask('anthropic', fixtureReply('anthropic/reply.sse'), talk, 'claude-opus-4-1')
    expect(JSON.stringify(other.body)).not.toContain('EqQBCgIY')
  })

  test('a text that Gemini has signed goes back signed', async () => {
    const part = (parts: object[], finishReason?: string) =>
      `data: ${JSON.stringify({ candidates: [{ content: { role: 'model', parts }, index: 0, finishReason }] })}\r\n\r\n`
    const pieces = [part([{ text: 'hm', thought: true }]), part([{ text: 'Hi', thoughtSignature: 'c2ln' }], 'STOP')]
    const reply = { headers: { 'content-type': 'text/event-stream' }, pieces }
    const { text, thought, result } = await ask('google', reply)
    expect([text, thought]).toEqual(['Hi', 'hm'])
    const { body } = await ask('google', fixtureReply('gemini/reply.sse'), { messages: talkAfter('Hi', result) })
    const [, said] = body['contents'] as { parts: JsonObject[] }[]
    expect(said?.parts).toContainEqual({ text: 'Hi', thoughtSignature: 'c2ln' })
  })
})

describe('beside an answer', () => {
  test('plain thoughts stay away in the next turn, what is signed goes back', async () => {
    const delta = {
      reasoning_content: 'Hm.',
      reasoning_details: [{ type: 'reasoning.encrypted', data: 'x', index: 0 }],
    }
    const { result } = await ask('openai-compatible', stream([delta, { content: 'Hi' }]))
    const { body } = await ask('openai-compatible', fixtureReply(USUAL), { messages: talkAfter('Hi', result) })
    expect((body['messages'] as JsonObject[])[1]).toEqual({
      role: 'assistant',
      content: 'Hi',
      reasoning_details: delta.reasoning_details,
    })
  })

  test('thoughts in parts of the content are heard and no text', async () => {
    const content = [{ type: 'thinking', thinking: [{ type: 'text', text: 'Hm.' }] }]
    const { text, thought } = await ask('openai-compatible', stream([{ content }, { content: 'Hi' }]))
    expect([text, thought]).toEqual(['Hi', 'Hm.'])
  })

  test('thoughts between texts of one frame are not taken for text', async () => {
    const deltas = ['a', 'b', 'c', 'd'].flatMap((content) => [{ content }, { content: '', reasoning: 'x' }])
    const { text, thought } = await ask('openai-compatible', stream(deltas))
    expect([text, thought]).toEqual(['abcd', 'xxxx'])
  })

  test('the tokens of thoughts are counted on their own', async () => {
    const usage = { prompt_tokens: 7, completion_tokens: 30, completion_tokens_details: { reasoning_tokens: 20 } }
    const { result } = await ask('openai-compatible', stream([{ content: 'Hi' }], usage))
    expect(result.usage).toEqual({ promptTokens: 7, completionTokens: 30, reasoningTokens: 20 })
  })
})

describe('how much to think', () => {
  const budget = { budgetTokens: 4_000 }
  test.each<[string, string, NonNullable<ModelRequest['settings']['reasoning']>, string, object]>([
    ['openai-compatible', 'm', { effort: 'low' }, USUAL, { reasoning_effort: 'low' }],
    ['openai-compatible', 'm', budget, USUAL, { reasoning_effort: 'medium' }],
    ['openai', 'gpt-5', { effort: 'high' }, USUAL, { reasoning_effort: 'high' }],
    ['openai', 'gpt-5', budget, USUAL, { reasoning_effort: 'medium' }],
    [
      'groq',
      'openai/gpt-oss-120b',
      { effort: 'low', show: false },
      'groq/reply.sse',
      { reasoning_effort: 'low', reasoning_format: 'hidden' },
    ],
    ['mistral', 'mistral-small-latest', { effort: 'high' }, 'mistral/reply.sse', { reasoning_effort: 'high' }],
    [
      'anthropic',
      'claude-sonnet-4-5',
      budget,
      'anthropic/reply.sse',
      { thinking: { type: 'enabled', budget_tokens: 4_000 } },
    ],
    [
      'anthropic',
      'claude-sonnet-4-6',
      { effort: 'high', show: true },
      'anthropic/reply.sse',
      { thinking: { type: 'adaptive', display: 'summarized' } },
    ],
    [
      'google',
      'gemini-2.5-flash',
      { ...budget, show: true },
      'gemini/reply.sse',
      { generationConfig: { thinkingConfig: { thinkingBudget: 4_000, includeThoughts: true } } },
    ],
    [
      'cohere',
      'command-a-reasoning-08-2025',
      budget,
      'cohere/reply.sse',
      { thinking: { type: 'enabled', token_budget: 4_000 } },
    ],
  ])('is said to %s (%s) in its words: %j', async (aiSystem, name, reasoning, reply, expected) => {
    const { body } = await ask(aiSystem, fixtureReply(reply), { settings: { reasoning } }, name)
    expect(body).toMatchObject(expected)
  })

  test('of the models of Anthropic is among the tokens of the reply, and none where it would fill it', async () => {
    const bodyWith = async (maxTokens: number) => {
      const settings = { maxTokens, reasoning: { effort: 'high' as const } }
      return (await ask('anthropic', fixtureReply('anthropic/reply.sse'), { settings }, 'claude-sonnet-4-5')).body
    }
    expect(await bodyWith(20_000)).toMatchObject({ max_tokens: 20_000, thinking: { budget_tokens: 16_384 } })
    expect(await bodyWith(5_000)).toMatchObject({ max_tokens: 5_000, thinking: { budget_tokens: 4_999 } })
    expect(await bodyWith(800)).toMatchObject({ max_tokens: 800, thinking: { type: 'disabled' } })
  })

  test('is not spoken of where nothing is said', async () => {
    const { body } = await ask('openai-compatible', fixtureReply(USUAL))
    expect(JSON.stringify(body)).not.toMatch(/reason|think/)
  })
})

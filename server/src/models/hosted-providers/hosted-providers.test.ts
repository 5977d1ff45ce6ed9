import { Agent } from 'undici'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import {
  type Behaviour,
  chatReply,
  fixtureReply,
  type ProviderServer,
  readFixture,
  startProviderServer,
} from '../../../../test/support/provider-server.ts'
import type { Model, ModelRequest, ModelResult } from '../model.ts'
import { ModelError } from '../model-error.ts'
import { type ProviderSettings, readProviderSettings } from '../providers/provider-settings.ts'
import { createModelRegistry, type ModelRegistry } from '../providers/registry.ts'

const REPLY = 'Grüezi, I am a 🐈 of few words.'
const KEY = 'a-key-of-ours'

let provider: ProviderServer
let settings: ProviderSettings
let registry: ModelRegistry
const dispatcher = new Agent({ allowH2: false })

beforeAll(async () => {
  provider = await startProviderServer()
  settings = readProviderSettings({
    OPENAI_API_KEY: KEY,
    OPENAI_BASE_URL: `${provider.url}/v1`,
    AZURE_OPENAI_API_KEY: KEY,
    AZURE_OPENAI_ENDPOINT: provider.url,
    AZURE_OPENAI_API_VERSION: '2024-10-21',
    ANTHROPIC_API_KEY: KEY,
    ANTHROPIC_BASE_URL: provider.url,
    GEMINI_API_KEY: KEY,
    GOOGLE_GENERATIVE_AI_BASE_URL: `${provider.url}/v1beta`,
    MISTRAL_API_KEY: KEY,
    MISTRAL_BASE_URL: `${provider.url}/v1`,
    GROQ_API_KEY: KEY,
    GROQ_BASE_URL: `${provider.url}/openai/v1`,
    COHERE_API_KEY: KEY,
    COHERE_BASE_URL: `${provider.url}/v2`,
    AWS_REGION: 'eu-central-1',
    AWS_BEARER_TOKEN_BEDROCK: KEY,
    AWS_ENDPOINT_URL_BEDROCK_RUNTIME: provider.url,
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

function requestWith(more: Partial<ModelRequest> = {}): ModelRequest {
  return {
    system: 'Be brief.',
    messages: [
      { role: 'user', content: 'Hello' },
      { role: 'assistant', content: 'Yes?' },
      { role: 'user', content: 'Who are you?' },
    ],
    settings: {},
    attempt: 0,
    signal: new AbortController().signal,
    ...more,
  }
}

async function ask(aiSystem: string, behaviour?: Behaviour, more: Partial<ModelRequest> = {}) {
  if (behaviour) provider.script([behaviour])
  const model: Model = await registry.open(aiSystem, 'default')
  const texts: string[] = []
  let result: ModelResult | null = null
  let error: ModelError | null = null
  try {
    result = await model.generate(requestWith(more), (text) => texts.push(text))
  } catch (thrown) {
    if (!(thrown instanceof ModelError)) throw thrown
    error = thrown
  }
  return { texts, result, error }
}

/** The beginning of a reply, up to the event that has `mark` in it, with a proper end of the connection. */
function withoutEnd(name: string, mark: string): Behaviour {
  const bytes = readFixture(name)
  const at = bytes.indexOf(mark)
  // An event of Bedrock's begins 27 bytes before its name: lengths and checksum (12), then its first header.
  return fixtureReply(name, { pieces: [bytes.subarray(0, name.endsWith('.sse') ? at : at - 27)] })
}

/** Those whose streams differ a little from the usual ones of their path. */
const OWN_SHAPES: Readonly<Record<string, string>> = { mistral: 'mistral/reply.sse', groq: 'groq/reply.sse' }

describe('a whole reply', () => {
  test.each([
    ['openai', '/v1/chat/completions', { promptTokens: 19, completionTokens: 8 }],
    [
      'azure-openai',
      '/openai/deployments/gpt-4.1-mini/chat/completions?api-version=2024-10-21',
      { promptTokens: 19, completionTokens: 8 },
    ],
    ['anthropic', '/v1/messages', { promptTokens: 25, completionTokens: 15 }],
    [
      'google',
      '/v1beta/models/gemini-3.5-flash:streamGenerateContent?alt=sse',
      { promptTokens: 7, completionTokens: 9 },
    ],
    ['mistral', '/v1/chat/completions', { promptTokens: 19, completionTokens: 8 }],
    ['groq', '/openai/v1/chat/completions', { promptTokens: 19, completionTokens: 8 }],
    ['cohere', '/v2/chat', { promptTokens: 19, completionTokens: 8 }],
    ['bedrock', '/model/eu.amazon.nova-lite-v1%3A0/converse-stream', { promptTokens: 19, completionTokens: 8 }],
  ])('of %s, asked at %s', async (aiSystem, path, usage) => {
    const own = OWN_SHAPES[aiSystem]
    const { texts, result, error } = await ask(aiSystem, own === undefined ? undefined : fixtureReply(own))
    expect(error).toBeNull()
    expect(texts.join('')).toBe(REPLY)
    expect(texts.length).toBeGreaterThan(2)
    expect(result).toMatchObject({ finishReason: 'stop', usage })
    expect(provider.requests.map((request) => request.path)).toEqual([path])
    expect(JSON.stringify(provider.requests[0]?.headers)).toContain(KEY)
  })

  test.each(['openai', 'anthropic', 'google'])('of %s in writes of 3 bytes is the same', async (aiSystem) => {
    const name = { openai: 'chat-completions/reply.sse', anthropic: 'anthropic/reply.sse', google: 'gemini/reply.sse' }[
      aiSystem
    ] as string
    const { texts } = await ask(aiSystem, fixtureReply(name, { chunkBytes: 3 }))
    expect(texts.join('')).toBe(REPLY)
  })

  test('without usage says so', async () => {
    const { result } = await ask('openai', fixtureReply('chat-completions/no-usage.sse'))
    expect(result).toEqual({ finishReason: 'length', usage: null })
  })
})

describe('the request', () => {
  test.each(['openai', 'bedrock'])('to %s goes through the connections that were given', async (aiSystem) => {
    const origins: unknown[] = []
    const observed = dispatcher.compose((dispatch) => (options, handler) => {
      origins.push(String(options.origin))
      return dispatch(options, handler)
    })
    const mine = createModelRegistry({ settings, dispatcher: observed, clock: Date.now })
    const model = await mine.open(aiSystem, 'default')
    await model.generate(requestWith(), () => {})
    expect(origins).toEqual([provider.url])
  })

  test('to OpenAI has the whole conversation and the settings', async () => {
    await ask('openai', undefined, { settings: { temperature: 0.5, maxTokens: 9, stop: 'END', seed: 7 } })
    expect(provider.requests[0]?.body).toMatchObject({
      model: 'gpt-4.1-mini',
      messages: [
        { role: 'system', content: 'Be brief.' },
        { role: 'user', content: 'Hello' },
        { role: 'assistant', content: 'Yes?' },
        { role: 'user', content: 'Who are you?' },
      ],
      temperature: 0.5,
      max_tokens: 9,
      stop: ['END'],
      seed: 7,
      stream_options: { include_usage: true },
    })
  })

  test('with a schema is as strict as it was asked to be', async () => {
    const json_schema = { name: 'mood', schema: { type: 'object', properties: {} } }
    await ask('openai', undefined, { settings: { responseFormat: { type: 'json_schema', json_schema } } })
    expect(provider.requests[0]?.body).toMatchObject({
      response_format: { type: 'json_schema', json_schema: { name: 'mood', strict: false } },
    })
  })

  test('to Anthropic has the system text apart', async () => {
    await ask('anthropic', undefined, { settings: { topK: 5, maxTokens: 9 } })
    expect(provider.requests[0]?.body).toMatchObject({
      model: 'claude-sonnet-4-6',
      system: [{ type: 'text', text: 'Be brief.' }],
      max_tokens: 9,
      top_k: 5,
      messages: [{ role: 'user' }, { role: 'assistant' }, { role: 'user' }],
    })
  })
})

describe('a failure', () => {
  test.each([
    ['openai', 401, 'chat-completions/error-401.json', 'failed', false, /^OpenAI refused the key \(401\)/],
    ['openai', 404, 'chat-completions/error-404.json', 'refused', false, /^OpenAI answered 404: The model `gpt-99`/],
    ['openai', 500, 'chat-completions/error-500.json', 'failed', true, /^OpenAI answered 500: The server had an error/],
    [
      'anthropic',
      401,
      'anthropic/error-401.json',
      'failed',
      false,
      /^Anthropic refused the key \(401\): invalid x-api-key/,
    ],
    ['anthropic', 404, 'anthropic/error-404.json', 'refused', false, /^Anthropic answered 404: model: claude-9/],
    ['anthropic', 529, 'anthropic/overloaded-529.json', 'rate_limited', true, /^Anthropic answered 529: Overloaded/],
    ['google', 400, 'gemini/error-400-key.json', 'failed', false, /^Google Gemini refused the key \(400\)/],
  ])('of %s with %i', async (aiSystem, status, fixture, kind, retryable, message) => {
    const { error } = await ask(aiSystem, fixtureReply(fixture, { status }))
    expect(error).toMatchObject({ kind, retryable, status, aiSystem })
    expect(error?.message).toMatch(message)
  })

  test('says how long the provider wants to be left alone', async () => {
    const { error } = await ask(
      'openai',
      fixtureReply('chat-completions/error-429.json', { status: 429, headers: { 'retry-after': '20' } }),
    )
    expect(error).toMatchObject({ kind: 'rate_limited', retryAfterMs: 20_000 })
  })

  test('never tells the key', async () => {
    const { error } = await ask('anthropic', { status: 400, pieces: [`{"error":{"message":"what is ${KEY}?"}}`] })
    expect(error?.message).toBe('Anthropic answered 400: what is ***?')
  })

  test('inside a stream of OpenAI keeps the text before it', async () => {
    const { texts, error } = await ask('openai', fixtureReply('chat-completions/error-in-stream.sse'))
    expect(texts.join('')).toBe('Grüezi, I')
    expect(error).toMatchObject({ kind: 'failed' })
    expect(error?.message).toContain('The server had an error while processing your request')
  })

  test('inside a stream of Anthropic too', async () => {
    const { texts, error } = await ask('anthropic', fixtureReply('anthropic/overloaded-in-stream.sse'))
    expect(texts.join('')).toBe('Grüezi, I')
    expect(error?.message).toContain('Overloaded')
  })

  test.each([
    ['openai', { ...chatReply(['a', 'b'], { finishReason: null }) }],
    ['google', fixtureReply('gemini/no-finish.sse')],
    ['mistral', { ...chatReply(['a', 'b'], { finishReason: null }) }],
    ['groq', { ...chatReply(['a', 'b'], { finishReason: null }) }],
    ['anthropic', { headers: { 'content-type': 'text/event-stream' }, pieces: [] }],
    ['cohere', withoutEnd('cohere/reply.sse', 'event: content-end')],
    ['bedrock', withoutEnd('bedrock/reply.eventstream', 'messageStop')],
  ])('of %s that just stops has no finish reason', async (aiSystem, behaviour) => {
    const { error } = await ask(aiSystem, behaviour)
    expect(error).toMatchObject({ kind: 'failed' })
    expect(error?.message).toMatch(/ended without a finish reason$/)
  })

  test.each(['openai', 'anthropic', 'google'])('of %s by a cut connection', async (aiSystem) => {
    const name = {
      openai: 'chat-completions/reply.sse',
      anthropic: 'anthropic/reply.sse',
      google: 'gemini/no-finish.sse',
    }[aiSystem] as string
    const whole = fixtureReply(name, { chunkBytes: 200 })
    const { texts, error } = await ask(aiSystem, { ...whole, pieces: whole.pieces?.slice(0, 6) ?? [], ending: 'cut' })
    expect(texts.length).toBeGreaterThan(0)
    expect(error).toMatchObject({ kind: 'failed', retryable: true })
    expect(error?.message).toMatch(/broke the connection off/)
  })

  test.each(['openai', 'anthropic', 'google'])('of %s by bytes that mean nothing', async (aiSystem) => {
    const pieces = ['data: {"choices": [{"delta":\n\n', 'data: \u0000\u0001\n\n']
    const { error } = await ask(aiSystem, { headers: { 'content-type': 'text/event-stream' }, pieces })
    expect(error).toMatchObject({ kind: 'failed' })
    expect(error?.message).toMatch(/sent something that cannot be read$/)
  })

  test('by nobody being there', async () => {
    const gone = await startProviderServer()
    await gone.close()
    const settings = readProviderSettings({ OPENAI_API_KEY: KEY, OPENAI_BASE_URL: `${gone.url}/v1` })
    const model = await createModelRegistry({ settings, dispatcher, clock: Date.now }).open('openai', 'default')
    await expect(model.generate(requestWith(), () => {})).rejects.toMatchObject({
      kind: 'failed',
      retryable: true,
      message: 'OpenAI did not answer: the connection was refused',
    })
  })

  test('what the reader throws passes through as it is', async () => {
    const mine = new Error('mine')
    const model = await registry.open('openai', 'default')
    const asked = model.generate(requestWith(), () => {
      throw mine
    })
    await expect(asked).rejects.toBe(mine)
  })
})

describe('giving up', () => {
  test.each([
    ['openai', 'chat-completions/reply.sse'],
    ['anthropic', 'anthropic/reply.sse'],
    ['google', 'gemini/no-finish.sse'],
  ])('on %s in mid-stream closes the connection', async (aiSystem, name) => {
    const whole = fixtureReply(name, { chunkBytes: 200 })
    provider.script([{ ...whole, pieces: whole.pieces?.slice(0, 6) ?? [], ending: 'hang' }])
    const controller = new AbortController()
    const model = await registry.open(aiSystem, 'default')
    const asked = model.generate(requestWith({ signal: controller.signal }), () => controller.abort())
    await expect(asked).rejects.toMatchObject({ kind: 'aborted', retryable: false })
    expect(await provider.requests[0]?.closedByClient).toBe(true)
  })

  test('after an error inside the stream closes the connection', async () => {
    await ask('anthropic', fixtureReply('anthropic/overloaded-in-stream.sse', { ending: 'hang' }))
    expect(await provider.requests[0]?.closedByClient).toBe(true)
  })

  test('before the answer has begun closes it too', async () => {
    provider.script([{ isSilent: true }])
    const controller = new AbortController()
    const model = await registry.open('openai', 'default')
    const asked = model.generate(requestWith({ signal: controller.signal }), () => {})
    asked.catch(() => {})
    await expect.poll(() => provider.requests.length).toBe(1)
    controller.abort()
    await expect(asked).rejects.toMatchObject({ kind: 'aborted' })
    expect(await provider.requests[0]?.closedByClient).toBe(true)
  })
})

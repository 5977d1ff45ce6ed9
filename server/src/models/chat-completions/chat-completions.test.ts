import { Agent } from 'undici'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import {
  type Behaviour,
  chatChunk,
  chatReply,
  fixtureReply,
  type ProviderServer,
  startProviderServer,
} from '../../../../test/support/provider-server.ts'
import { createRedactor } from '../errors/redact.ts'
import type { ModelRequest, ModelResult } from '../model.ts'
import { ModelError } from '../model-error.ts'
import { createChatCompletionsModel } from './chat-completions.ts'

const REPLY = 'Grüezi, I am a 🐈 of few words.'
const KEY = 'a-key-of-ours'

let provider: ProviderServer
const dispatcher = new Agent()

beforeAll(async () => {
  provider = await startProviderServer()
})
afterAll(async () => {
  await dispatcher.destroy()
  await provider.close()
})
beforeEach(() => {
  provider.requests.length = 0
})

function modelAt(baseUrl: string, apiKey: string | null = KEY) {
  return createChatCompletionsModel({
    aiSystem: 'openai-compatible',
    label: 'The server',
    redact: createRedactor([KEY]),
    baseUrl,
    apiKey,
    model: 'm1',
    dispatcher,
  })
}

function requestWith(more: Partial<ModelRequest> = {}): ModelRequest {
  return {
    system: 'Be brief.',
    messages: [{ role: 'user', content: 'Hello' }],
    settings: {},
    attempt: 0,
    signal: new AbortController().signal,
    ...more,
  }
}

type Answer = { texts: string[]; result: ModelResult | null; error: ModelError | null }

/** Asks once; a failure is part of the answer. */
async function ask(behaviour?: Behaviour, more: Partial<ModelRequest> = {}): Promise<Answer> {
  if (behaviour) provider.script([behaviour])
  const texts: string[] = []
  try {
    const result = await modelAt(`${provider.url}/v1`).generate(requestWith(more), (text) => texts.push(text))
    return { texts, result, error: null }
  } catch (error) {
    if (!(error instanceof ModelError)) throw error
    return { texts, result: null, error }
  }
}

describe('a reply', () => {
  test("of OpenAI's shape comes token by token, with its usage", async () => {
    const { texts, result } = await ask(fixtureReply('chat-completions/reply.sse'))
    expect(texts).toEqual(['Grü', 'ezi', ', I', ' am a', ' 🐈', ' of few', ' words', '.'])
    expect(result).toEqual({ finishReason: 'stop', usage: { promptTokens: 19, completionTokens: 8 } })
  })

  test.each([1, 2, 3, 7, 64])(
    'in writes of %i bytes is the same, through the middle of characters',
    async (chunkBytes) => {
      const { texts, result } = await ask(fixtureReply('chat-completions/reply.sse', { chunkBytes }))
      expect(texts.join('')).toBe(REPLY)
      expect(result?.finishReason).toBe('stop')
    },
  )

  test('without usage says so', async () => {
    const { texts, result } = await ask(fixtureReply('chat-completions/no-usage.sse'))
    expect(texts.join('')).toBe(REPLY)
    expect(result).toEqual({ finishReason: 'length', usage: null })
  })

  test("of vLLM's shape, what the model thought before beside it", async () => {
    const { texts, result } = await ask(fixtureReply('chat-completions/reasoning.sse'))
    expect(texts.join('')).toBe(REPLY)
    expect(result).toMatchObject({ finishReason: 'stop', usage: { promptTokens: 19, completionTokens: 12 } })
    expect(result?.thoughts?.members).toEqual({ reasoning_content: 'They greet; I greet back.' })
  })

  test("of Ollama's shape", async () => {
    const { texts, result } = await ask(fixtureReply('ollama/reply.sse'))
    expect(texts.join('')).toBe(REPLY)
    expect(result).toEqual({ finishReason: 'stop', usage: { promptTokens: 33, completionTokens: 9 } })
  })

  test.each([undefined, 3])(
    'that is one body instead of a stream is accepted (pieces of %s bytes)',
    async (chunkBytes) => {
      const { texts, result } = await ask(fixtureReply('chat-completions/whole.json', chunkBytes ? { chunkBytes } : {}))
      expect(texts).toEqual([REPLY])
      expect(result).toEqual({ finishReason: 'stop', usage: { promptTokens: 19, completionTokens: 8 } })
    },
  )

  test.each([
    ['stop', 'stop'],
    ['length', 'length'],
    // Without a call there is nothing to wait for.
    ['tool_calls', 'stop'],
    ['function_call', 'stop'],
    ['content_filter', 'content_filter'],
    ['eos_token', 'stop'],
  ])('that ended with %s ends with %s', async (theirs, ours) => {
    const { result } = await ask(chatReply(['a'], { finishReason: theirs }))
    expect(result?.finishReason).toBe(ours)
  })

  test('is handed on while it is still being written', async () => {
    const gate = Promise.withResolvers<void>()
    provider.script([
      {
        pieces: [
          chatChunk([{ delta: { content: 'a' } }]),
          { until: gate.promise },
          chatChunk([{ delta: {}, finish_reason: 'stop' }]),
        ],
      },
    ])
    const first = Promise.withResolvers<string>()
    const done = modelAt(`${provider.url}/v1`).generate(requestWith(), first.resolve)
    expect(await first.promise).toBe('a')
    gate.resolve()
    expect((await done).finishReason).toBe('stop')
  })

  test('is over with [DONE], although the server keeps the connection', async () => {
    const { result } = await ask({ ...chatReply(['a']), ending: 'hang' })
    expect(result?.finishReason).toBe('stop')
  })

  test('that had its finish reason is complete, although the connection was cut then', async () => {
    const pieces = [chatChunk([{ delta: { content: 'a' }, finish_reason: 'stop' }]), { waitMs: 20 }]
    const { texts, result } = await ask({ pieces, ending: 'cut' })
    expect(texts).toEqual(['a'])
    expect(result).toEqual({ finishReason: 'stop', usage: null })
  })

  test.each([
    ['negative', { prompt_tokens: -1, completion_tokens: 2 }],
    ['text', { prompt_tokens: '3', completion_tokens: 2 }],
    ['nothing', {}],
  ])('with a usage that is %s has none', async (_name, usage) => {
    const pieces = [chatChunk([{ delta: { content: 'a' }, finish_reason: 'stop' }], { usage })]
    const { result } = await ask({ pieces })
    expect(result).toEqual({ finishReason: 'stop', usage: null })
  })

  test('leaves the connection for the next one', async () => {
    await ask(fixtureReply('chat-completions/reply.sse'))
    expect(await provider.requests[0]?.closedByClient).toBe(false)
  })
})

describe('the request', () => {
  test('says what is set, in the protocol’s words', async () => {
    await ask(undefined, {
      settings: {
        temperature: 0.5,
        topP: 0.9,
        topK: 40,
        maxTokens: 100,
        stop: ['END'],
        seed: 7,
        frequencyPenalty: 0.1,
        presencePenalty: -0.1,
        responseFormat: 'json',
      },
    })
    expect(provider.requests[0]).toMatchObject({ method: 'POST', path: '/v1/chat/completions' })
    expect(provider.requests[0]?.headers).toMatchObject({
      authorization: `Bearer ${KEY}`,
      'content-type': 'application/json',
    })
    expect(provider.requests[0]?.body).toEqual({
      model: 'm1',
      messages: [
        { role: 'system', content: 'Be brief.' },
        { role: 'user', content: 'Hello' },
      ],
      stream: true,
      stream_options: { include_usage: true },
      temperature: 0.5,
      top_p: 0.9,
      top_k: 40,
      max_tokens: 100,
      stop: ['END'],
      seed: 7,
      frequency_penalty: 0.1,
      presence_penalty: -0.1,
      response_format: { type: 'json_object' },
    })
  })

  test('leaves out what is not', async () => {
    provider.script([chatReply(['a'])])
    await modelAt(`${provider.url}/v1/`, null).generate(requestWith({ system: null }), () => {})
    expect(provider.requests[0]?.body).toEqual({
      model: 'm1',
      messages: [{ role: 'user', content: 'Hello' }],
      stream: true,
      stream_options: { include_usage: true },
    })
    expect(provider.requests[0]?.headers.authorization).toBeUndefined()
  })
})

describe('a failure', () => {
  test('inside the stream keeps the text before it and says what the provider said', async () => {
    const { texts, error } = await ask(fixtureReply('chat-completions/error-in-stream.sse'))
    expect(texts.join('')).toBe('Grüezi, I')
    expect(error).toMatchObject({ kind: 'failed', retryable: true })
    expect(error?.message).toBe(
      'The server failed while it was answering: The server had an error while processing your request. Sorry about that!',
    )
  })

  test("of OpenRouter's shape, after comments", async () => {
    const { texts, error } = await ask(fixtureReply('chat-completions/openrouter-error.sse'))
    expect(texts).toEqual(['Grü'])
    expect(error?.message).toBe('The server failed while it was answering: Provider returned error')
  })

  test('named by its event', async () => {
    const { error } = await ask({ pieces: ['event: error\ndata: {"message":"out of memory"}\n\n'], ending: 'hang' })
    expect(error?.message).toBe('The server failed while it was answering: out of memory')
    expect(await provider.requests[0]?.closedByClient).toBe(true)
  })

  test.each([
    ['a stream that just ends', chatReply(['a', 'b'], { finishReason: null })],
    [
      'a stream that ends with nothing but [DONE]',
      { pieces: [chatChunk([{ delta: { content: 'a' } }]), 'data: [DONE]\n\n'] },
    ],
    ['an empty body', { pieces: [] }],
  ])('%s has no finish reason', async (_name, behaviour) => {
    const { error } = await ask(behaviour)
    expect(error).toMatchObject({ kind: 'failed', message: 'The server ended without a finish reason' })
  })

  test('a page of HTML is called so', async () => {
    const { error } = await ask({ pieces: ['<html><body>Welcome</body></html>'] })
    const message =
      'The server: its address answers with a web page (200); does a proxy or a login page stand in between?'
    expect(error).toMatchObject({ kind: 'failed', retryable: false, message })
  })

  test('a cut connection', async () => {
    const { texts, error } = await ask(chatReply(['a', 'b'], { finishReason: null, ending: 'cut' }))
    expect(texts).toEqual(['a', 'b'])
    expect(error).toMatchObject({ kind: 'failed', retryable: true })
    expect(error?.message).toMatch(/^The server broke the connection off: /)
  })

  test('nobody there', async () => {
    const gone = await startProviderServer()
    await gone.close()
    const asked = modelAt(`${gone.url}/v1`).generate(requestWith(), () => {})
    await expect(asked).rejects.toMatchObject({
      kind: 'failed',
      retryable: true,
      message: 'The server did not answer: the connection was refused',
    })
  })

  test.each([
    ['an event that is not JSON', 'data: {"choices": [\n\n'],
    ['a body that is not JSON', '{"choices": ['],
    ['JSON that is no object', 'data: 7\n\n'],
  ])('%s', async (_name, text) => {
    const { error } = await ask({ pieces: [text] })
    expect(error).toMatchObject({ kind: 'failed' })
    expect(error?.message).toMatch(/^The server sent something that is (?:not JSON|no chat completion)$/)
  })

  test('bytes without an end are given up, and the connection closed', async () => {
    const megabyte = Buffer.alloc(1024 * 1024, 120)
    const { error } = await ask({ pieces: Array.from({ length: 12 }, () => megabyte), ending: 'hang' })
    expect(error?.message).toMatch(/^The server sent too much/)
    expect(await provider.requests[0]?.closedByClient).toBe(true)
  })

  test('a body without an end too', async () => {
    const megabyte = Buffer.alloc(1024 * 1024, 0x7b)
    const { error } = await ask({ pieces: Array.from({ length: 12 }, () => megabyte), ending: 'hang' })
    expect(error?.message).toMatch(/^The server sent too much/)
  })

  test.each([
    [
      401,
      'chat-completions/error-401.json',
      'failed',
      false,
      /^The server refused the key \(401\): Incorrect API key provided: \*\*\*/,
    ],
    [
      404,
      'chat-completions/error-404.json',
      'refused',
      false,
      /^The server answered 404: The model `gpt-99` does not exist/,
    ],
    [404, 'ollama/error-404.json', 'refused', false, /^The server answered 404: model "llama9" not found/],
    [429, 'chat-completions/error-429.json', 'rate_limited', true, /^The server answered 429: Rate limit reached/],
    [500, 'chat-completions/error-500.json', 'failed', true, /^The server answered 500: The server had an error/],
  ])('%i (%s) is %s', async (status, fixture, kind, retryable, message) => {
    const { error } = await ask(fixtureReply(fixture, { status }))
    expect(error).toMatchObject({ kind, retryable, status })
    expect(error?.message).toMatch(message)
  })

  test('says how long the provider wants to be left alone', async () => {
    const { error } = await ask(
      fixtureReply('chat-completions/error-429.json', { status: 429, headers: { 'retry-after': '20' } }),
    )
    expect(error?.retryAfterMs).toBe(20_000)
  })

  test('never tells the key, however it comes back', async () => {
    const { error } = await ask({
      status: 400,
      pieces: [JSON.stringify({ error: { message: `bad header: Bearer ${KEY} (${KEY})` } })],
    })
    expect(error?.message).toContain('bad header')
    expect(error?.message).not.toContain(KEY)
  })

  test('a body of an error that does not end is cut', async () => {
    const { error } = await ask({
      status: 500,
      pieces: Array.from({ length: 9 }, () => 'x'.repeat(16_384)),
      ending: 'hang',
    })
    expect(error?.message).toMatch(/^The server answered 500: x{300}…$/)
  })

  test('what the reader throws passes through as it is', async () => {
    provider.script([chatReply(['a', 'b'])])
    const mine = new RangeError('mine')
    const asked = modelAt(`${provider.url}/v1`).generate(requestWith(), () => {
      throw mine
    })
    await expect(asked).rejects.toBe(mine)
  })
})

describe('giving up', () => {
  test('in mid-stream closes the connection', async () => {
    const controller = new AbortController()
    provider.script([chatReply(['a'], { finishReason: null, ending: 'hang' })])
    const asked = modelAt(`${provider.url}/v1`).generate(requestWith({ signal: controller.signal }), () =>
      controller.abort(),
    )
    await expect(asked).rejects.toMatchObject({ kind: 'aborted', retryable: false })
    expect(await provider.requests[0]?.closedByClient).toBe(true)
  })

  test('before the answer has begun closes it too', async () => {
    const controller = new AbortController()
    const arrived = Promise.withResolvers<void>()
    provider.script([{ before: Promise.resolve().then(arrived.resolve), isSilent: true }])
    const asked = modelAt(`${provider.url}/v1`).generate(requestWith({ signal: controller.signal }), () => {})
    asked.catch(() => {})
    await arrived.promise
    await expect.poll(() => provider.requests.length).toBe(1)
    controller.abort()
    await expect(asked).rejects.toMatchObject({ kind: 'aborted' })
    expect(await provider.requests[0]?.closedByClient).toBe(true)
  })

  test('before the request makes none', async () => {
    const { error } = await ask(undefined, { signal: AbortSignal.abort() })
    expect(error?.kind).toBe('aborted')
    expect(provider.requests).toHaveLength(0)
  })

  test('gives out nothing afterwards', async () => {
    const controller = new AbortController()
    const { texts } = await ask(
      { pieces: [chatChunk([{ delta: { content: 'a' } }]) + chatChunk([{ delta: { content: 'b' } }])] },
      {
        signal: controller.signal,
      },
    )
    expect(texts).toEqual(['a', 'b'])
    provider.script([{ pieces: [chatChunk([{ delta: { content: 'a' } }]) + chatChunk([{ delta: { content: 'b' } }])] }])
    const seen: string[] = []
    const asked = modelAt(`${provider.url}/v1`).generate(requestWith({ signal: controller.signal }), (text) => {
      seen.push(text)
      controller.abort()
    })
    await expect(asked).rejects.toMatchObject({ kind: 'aborted' })
    expect(seen).toEqual(['a'])
  })
})

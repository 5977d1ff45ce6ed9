import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib'
import { Agent } from 'undici'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  type Behaviour,
  chatChunk,
  fixtureReply,
  type Piece,
  type ProviderServer,
  readFixture,
  startProviderServer,
} from '../../../../test/support/provider-server.ts'
import type { ModelRequest } from '../model.ts'
import { readProviderSettings } from './provider-settings.ts'
import { createModelRegistry, type ModelRegistry } from './registry.ts'

let provider: ProviderServer
let registry: ModelRegistry
const dispatcher = new Agent({ allowH2: false })

beforeAll(async () => {
  provider = await startProviderServer()
  const settings = readProviderSettings({
    ANTHROPIC_API_KEY: 'k',
    ANTHROPIC_BASE_URL: provider.url,
    AZURE_OPENAI_API_KEY: 'k',
    AZURE_OPENAI_ENDPOINT: provider.url,
    AZURE_OPENAI_API_VERSION: '2024-10-21',
    COHERE_API_KEY: 'k',
    COHERE_BASE_URL: `${provider.url}/v2`,
    GEMINI_API_KEY: 'k',
    GOOGLE_GENERATIVE_AI_BASE_URL: `${provider.url}/v1beta`,
    GROQ_API_KEY: 'k',
    GROQ_BASE_URL: `${provider.url}/openai/v1`,
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

const STREAM = { 'content-type': 'text/event-stream' }
const tools = [{ name: 'get_weather', description: 'The weather', inputSchema: { type: 'object' } }]

async function ask(aiSystem: string, behaviour: Behaviour, more: Partial<ModelRequest> = {}) {
  provider.script([behaviour])
  const texts: string[] = []
  const model = await registry.open(aiSystem, 'default')
  const request: ModelRequest = {
    system: null,
    messages: [{ role: 'user', content: 'Hi' }],
    settings: {},
    attempt: 0,
    signal: new AbortController().signal,
    ...more,
  }
  const result = await model.generate(request, (text) => texts.push(text))
  return { text: texts.join(''), result }
}

const delta = (value: object, finish: string | null = null) =>
  chatChunk([{ index: 0, delta: value, finish_reason: finish }])
const USAGE = { usage: { prompt_tokens: 5, completion_tokens: 2, total_tokens: 7 } }
const streamOf = (...pieces: Piece[]): Behaviour => ({ headers: STREAM, pieces })
const CHAT = ['openai-compatible', 'openai', 'azure-openai', 'groq', 'mistral']

describe('silence behind the finish reason ends a reply', () => {
  const settings = { timeouts: { afterFinishMs: 50 } }

  test.each([
    ['openai-compatible', 'chat-completions/reply.sse', 'data: [DONE]'],
    ['openai', 'chat-completions/reply.sse', 'data: [DONE]'],
    ['azure-openai', 'chat-completions/reply.sse', 'data: [DONE]'],
    ['groq', 'groq/reply.sse', 'data: [DONE]'],
    ['mistral', 'mistral/reply.sse', 'data: [DONE]'],
    ['anthropic', 'anthropic/reply.sse', ''],
    ['google', 'gemini/reply.sse', ''],
    ['cohere', 'cohere/reply.sse', ''],
  ])('of %s, although the connection is held open', async (aiSystem, fixture, mark) => {
    const bytes = readFixture(fixture)
    const pieces = [mark === '' ? bytes : bytes.subarray(0, bytes.indexOf(mark))]
    const { text, result } = await ask(aiSystem, fixtureReply(fixture, { pieces, ending: 'hang' }), { settings })
    expect(text).toBe('Grüezi, I am a 🐈 of few words.')
    expect(result.finishReason).toBe('stop')
    expect(result.usage).not.toBeNull()
    expect(await provider.requests.at(-1)?.closedByClient).toBe(true)
  })

  // The others have it in the chunk of the finish reason.
  test.each(CHAT.slice(0, 3))('of %s, but not before its usage has come a little later', async (aiSystem) => {
    const late = { waitMs: 20 }
    const pieces = [delta({ content: 'Hi' }), delta({}, 'stop'), late, chatChunk([], USAGE), 'data: [DONE]\n\n']
    const { result } = await ask(aiSystem, streamOf(...pieces), { settings: { timeouts: { afterFinishMs: 2_000 } } })
    expect(result.usage).toEqual({ promptTokens: 5, completionTokens: 2 })
  })

  test.each(CHAT)('of %s, and a connection that is cut there takes nothing away', async (aiSystem) => {
    const cut: Behaviour = { ...streamOf(delta({ content: 'Hi' }), delta({}, 'stop')), ending: 'cut' }
    expect(await ask(aiSystem, cut)).toMatchObject({ text: 'Hi', result: { finishReason: 'stop' } })
  })
})

describe('the end, and what is no end', () => {
  const HI = [delta({ content: 'Hi' }), delta({}, 'stop')]
  test.each([
    ['[DONE] with a space behind it', [...HI, 'data: [DONE] \n\n']],
    ['[DONE] without a space before it', [...HI, 'data:[DONE]\n\n']],
    ['no [DONE]', HI],
    ['lines that end with two signs', HI.map((event) => event.replaceAll('\n', '\r\n'))],
    ['null', ['data: null\n\n', ...HI, 'data: null\n\n', 'data: [DONE]\n\n']],
    ['comments and empty events', [': OPENROUTER PROCESSING\n\n', 'data:\n\n', ...HI, ': bye\n\n', 'data: [DONE]\n\n']],
    ['events of other names', ['event: ping\ndata: {"type":"ping"}\n\n', 'event: keepalive\ndata: now\n\n', ...HI]],
    ['a byte order mark', ['\uFEFF', ...HI, 'data: [DONE]\n\n']],
    ['chunks without a choice', [chatChunk([], { prompt_filter_results: [] }), ...HI, chatChunk([], USAGE)]],
    ['chunks without a delta', [chatChunk([{ index: 0, content_filter_results: {} }]), ...HI]],
    [
      'a finish reason called "null"',
      [chatChunk([{ delta: { content: 'Hi' }, finish_reason: 'null' }]), delta({}, 'stop')],
    ],
  ])('%s', async (_name, pieces) => {
    for (const aiSystem of CHAT) {
      const { text, result } = await ask(aiSystem, streamOf(...pieces))
      expect([aiSystem, text, result.finishReason]).toEqual([aiSystem, 'Hi', 'stop'])
    }
  })

  test.each([
    [
      'with a byte order mark',
      `\uFEFF${JSON.stringify({ choices: [{ message: { content: 'Hi' }, finish_reason: 'stop' }] })}`,
    ],
    [
      'in lines',
      [
        '{"choices":[{"delta":{"content":"H"}}]}',
        '{"choices":[{"delta":{"content":"i"},"finish_reason":"stop"}]}',
        '',
      ].join('\n'),
    ],
  ])('a body that is no stream, %s', async (_name, body) => {
    for (const aiSystem of CHAT) {
      const { text, result } = await ask(aiSystem, streamOf(body))
      expect([aiSystem, text, result.finishReason]).toEqual([aiSystem, 'Hi', 'stop'])
    }
  })
})

describe('an answer that is packed', () => {
  const PACKERS: Record<string, (bytes: Uint8Array) => Uint8Array> = {
    gzip: gzipSync,
    'x-gzip': gzipSync,
    br: brotliCompressSync,
    zstd: zstdCompressSync,
    deflate: deflateSync,
    'deflate without its header': deflateRawSync,
    'gzip, br': (bytes) => brotliCompressSync(gzipSync(bytes)),
  }
  const packings = Object.keys(PACKERS).flatMap((name) =>
    ['openai-compatible', 'openai'].map((aiSystem) => [name, aiSystem]),
  )
  const packed = (name: string, bytes: Uint8Array, type: string, status = 200): Behaviour => {
    const all = PACKERS[name]?.(bytes) ?? bytes
    const headers = { 'content-type': type, 'content-encoding': name.replace(/ without.*/, '') }
    return { status, headers, pieces: [all.subarray(0, 9), all.subarray(9)] }
  }

  test.each(packings)('with %s is read from %s', async (name = '', aiSystem = '') => {
    const reply = packed(name, readFixture('chat-completions/reply.sse'), 'text/event-stream')
    expect((await ask(aiSystem, reply)).text).toBe('Grüezi, I am a 🐈 of few words.')
  })

  test.each(packings)('with %s is read from %s, an error too', async (name = '', aiSystem = '') => {
    const reply = packed(name, Buffer.from('{"error":{"message":"the model is tired"}}'), 'application/json', 400)
    await expect(ask(aiSystem, reply)).rejects.toThrow(/the model is tired/)
  })

  test('badly is a failure that says so, and a cut one behind the finish reason is whole', async () => {
    const bad = { ...STREAM, 'content-encoding': 'gzip' }
    await expect(ask('openai-compatible', { headers: bad, pieces: ['data: {}\n\n'] })).rejects.toThrow(/be unpacked$/)
    const whole = gzipSync([delta({ content: 'Hi' }), delta({}, 'stop')].join(''))
    expect((await ask('openai-compatible', { headers: bad, pieces: [whole.subarray(0, -4)] })).text).toBe('Hi')
  })
})

describe('a reply in another form', () => {
  test.each([
    [
      'with its text in parts',
      [
        delta({
          content: [
            { type: 'text', text: 'He' },
            { type: 'text', text: 'y' },
          ],
        }),
        delta({}, 'stop'),
      ],
    ],
    [
      'whose pieces are messages',
      [
        chatChunk([{ message: { content: 'He' }, finish_reason: null }]),
        chatChunk([{ message: { content: 'y' }, finish_reason: 'stop' }]),
      ],
    ],
    [
      'that says all of it once more',
      [
        delta({ role: 'assistant', content: 'Hey' }),
        chatChunk([{ delta: {}, message: { content: 'Hey' }, finish_reason: 'stop' }]),
      ],
    ],
    ['that is a refusal in parts', [delta({ content: [{ type: 'refusal', refusal: 'Hey' }] }), delta({}, 'stop')]],
  ])('%s', async (_name, pieces) => {
    for (const aiSystem of CHAT) expect((await ask(aiSystem, streamOf(...pieces))).text).toBe('Hey')
  })

  test.each(CHAT)('of %s with pictures names them, and they are a reply', async (aiSystem) => {
    const image = (url: string) => ({ type: 'image_url', image_url: { url } })
    const pieces = [
      delta({ content: '', images: [image('data:image/png;base64,iVBORw0KGgo=')] }),
      delta({ content: [image('https://pictures.example/cat.png')] }),
      delta({}, 'stop'),
    ]
    const { text } = await ask(aiSystem, streamOf(...pieces))
    expect(text.replaceAll(/\s+/g, ' ').trim()).toBe(
      '[The model has made a picture here (image/png), which is not kept] ![picture](https://pictures.example/cat.png)',
    )
  })

  test.each(CHAT)('of %s with citations keeps them, each once', async (aiSystem) => {
    const cited = { type: 'url_citation', url_citation: { url: 'https://a.example', title: 'A' } }
    const beside = { citations: ['https://b.example'] }
    const pieces = [
      chatChunk([{ delta: { content: 'One', annotations: [cited] } }], beside),
      chatChunk([{ delta: { content: ' two', annotations: [cited] } }], beside),
      chatChunk([{ delta: {}, finish_reason: 'stop' }], beside),
    ]
    const { text, result } = await ask(aiSystem, streamOf(...pieces))
    expect(text).toBe('One two')
    expect(result.citations).toEqual([cited, { url: 'https://b.example' }])
  })

  test.each(CHAT)('of %s that is empty is a failure', async (aiSystem) => {
    const empty = streamOf(delta({ role: 'assistant' }), delta({}, 'stop'), 'data: [DONE]\n\n')
    await expect(ask(aiSystem, empty)).rejects.toMatchObject({ kind: 'failed', retryable: true })
  })

  test.each(CHAT)('of %s that is empty behind calls is none, if it spoke before them', async (aiSystem) => {
    const empty = streamOf(delta({ role: 'assistant' }), delta({}, 'stop'), 'data: [DONE]\n\n')
    const talk = (content: string): ModelRequest['messages'] => [
      { role: 'user', content: 'Note it.' },
      { role: 'assistant', content, toolCalls: [{ id: 'call_1', name: 'get_weather', input: {} }] },
      { role: 'tool', toolCallId: 'call_1', name: 'get_weather', content: 'noted' },
    ]
    expect((await ask(aiSystem, empty, { tools, messages: talk('I do.') })).result.finishReason).toBe('stop')
    await expect(ask(aiSystem, empty, { tools, messages: talk('') })).rejects.toThrow(/empty reply$/)
  })

  test.each(CHAT)('of %s that its server gave up is a failure', async (aiSystem) => {
    const half = streamOf(delta({ content: 'Half an' }), delta({}, 'abort'), 'data: [DONE]\n\n')
    await expect(ask(aiSystem, half)).rejects.toThrow(/stopped before it was done: abort$/)
  })
})

describe('a call', () => {
  const call = (more: object, args: unknown, name?: string | null) =>
    delta({ tool_calls: [{ ...more, function: { ...(name !== undefined && { name }), arguments: args } }] })
  const SHAPES: [string, Piece[]][] = [
    [
      'without an index',
      [call({ id: 'a', type: 'function' }, '', 'get_weather'), call({}, '{"city":'), call({}, '"Bern"}')],
    ],
    ['without an id', [call({ index: 0 }, '{"city":"Bern"}', 'get_weather')]],
    [
      'with null first',
      [
        call({ index: 0, id: 'a', type: 'function' }, null, 'get_weather'),
        call({ index: 0, id: null }, '{"city":"Bern"}', null),
      ],
    ],
    [
      'encoded twice',
      [call({ index: 0, id: 'a', type: 'function' }, JSON.stringify('{"city":"Bern"}'), 'get_weather')],
    ],
    ['with an object', [call({ index: 0, id: 'a', type: 'function' }, { city: 'Bern' }, 'get_weather')]],
    [
      'as it was before',
      [
        delta({ function_call: { name: 'get_weather', arguments: '' } }),
        delta({ function_call: { arguments: '{"city":"Bern"}' } }),
      ],
    ],
    [
      'that its finish reason does not speak of',
      [call({ index: 0, id: 'a', type: 'function' }, '{"city":"Bern"}', 'get_weather')],
    ],
  ]

  test.each(CHAT.flatMap((aiSystem) => SHAPES.map(([name, pieces]) => [name, aiSystem, pieces] as const)))(
    '%s of %s',
    async (name, aiSystem, pieces) => {
      const finish = name.includes('finish reason') ? 'stop' : 'tool_calls'
      const stream = streamOf(...pieces, delta({}, finish), 'data: [DONE]\n\n')
      const { result } = await ask(aiSystem, stream, { tools })
      expect(result).toMatchObject({
        finishReason: 'tool_calls',
        toolCalls: [{ name: 'get_weather', input: { city: 'Bern' } }],
      })
    },
  )

  test.each(CHAT)('of %s that cannot be read keeps what was written, and is no empty one', async (aiSystem) => {
    const cut = call({ index: 0, id: 'a', type: 'function' }, '{"city":"Be', 'get_weather')
    const { result } = await ask(aiSystem, streamOf(cut, delta({}, 'tool_calls'), 'data: [DONE]\n\n'), { tools })
    expect(result.toolCalls).toMatchObject([{ name: 'get_weather', input: {} }])
    expect(result.toolCalls?.[0]?.invalidInput).toContain('Be')
  })

  test.each(CHAT)('of %s where there are no tools is none', async (aiSystem) => {
    const made = call({ index: 0, id: 'a', type: 'function' }, '{}', 'get_weather')
    const stream = streamOf(delta({ content: 'Hi' }), made, delta({}, 'tool_calls'), 'data: [DONE]\n\n')
    const { result } = await ask(aiSystem, stream)
    expect(result).not.toHaveProperty('toolCalls')
    expect(result.finishReason).toBe('stop')
  })
})

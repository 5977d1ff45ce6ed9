import { Agent } from 'undici'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import {
  type Behaviour,
  fixtureReply,
  type ProviderRequest,
  type ProviderServer,
  startProviderServer,
} from '../../../../test/support/provider-server.ts'
import type { JsonObject } from '../../lib/json.ts'
import type { ModelMessage, ModelRequest } from '../model.ts'
import { readProviderSettings } from '../providers/provider-settings.ts'
import { createModelRegistry, type ModelRegistry } from '../providers/registry.ts'
import { createResilience } from './resilience.ts'

type Body = {
  messages: { role: string; content: unknown; tool_calls?: unknown[] }[]
  tools?: { function: { parameters: JsonObject } }[]
} & Record<string, unknown>

/** The same provider behind our own client and behind a package. */
const SYSTEMS = ['openai-compatible', 'mistral', 'azure-openai'] as const

let provider: ProviderServer
let registry: ModelRegistry
const dispatcher = new Agent()

beforeAll(async () => {
  provider = await startProviderServer()
  const settings = readProviderSettings({
    OPENAI_COMPATIBLE_BASE_URL: `${provider.url}/v1`,
    MISTRAL_API_KEY: 'k'.repeat(20),
    MISTRAL_BASE_URL: `${provider.url}/v1`,
    AZURE_OPENAI_API_KEY: 'k'.repeat(20),
    AZURE_OPENAI_ENDPOINT: provider.url,
  })
  registry = createModelRegistry({ settings, dispatcher, clock: Date.now })
})
afterAll(async () => {
  await dispatcher.destroy()
  await provider.close()
})
beforeEach(() => {
  provider.requests.length = 0
  provider.always(null)
})

/** Refuses what `whyNot` names, and answers everything else. */
function refuse(whyNot: (body: Body) => string | object | null): void {
  provider.always(({ body }: Pick<ProviderRequest, 'body'>): Behaviour => {
    const why = whyNot(body as Body)
    if (why === null) return fixtureReply('mistral/reply.sse')
    const error = typeof why === 'string' ? { message: why, type: 'invalid_request_error' } : why
    return { status: 400, headers: { 'content-type': 'application/json' }, pieces: [JSON.stringify({ error })] }
  })
}

const USER: ModelMessage = { role: 'user', content: 'Hello' }

/** One server's memory: each call is a turn of its own. */
function stage(aiSystem: string) {
  const resilience = createResilience({ registry, clock: Date.now, sleep: async () => {} })
  return async (request: Partial<Omit<ModelRequest, 'attempt' | 'caller'>> = {}) => {
    const before = provider.requests.length
    const outcome = await resilience.generate({
      chain: [{ aiSystem, model: 'm1' }],
      caller: { organizationId: 'o', keyId: 'k', conversationId: 'c' },
      request: { system: null, messages: [USER], settings: {}, signal: new AbortController().signal, ...request },
      onText: () => {},
    })
    const sent = provider.requests.slice(before).map(({ body }) => body as Body)
    return { isOk: outcome.ok, outcomes: outcome.attempts.map((attempt) => attempt.outcome), sent }
  }
}

test.each(SYSTEMS)('%s: a parameter with another spelling is spelled so, and remembered', async (aiSystem) => {
  refuse(({ max_tokens }) =>
    max_tokens === undefined
      ? null
      : {
          message:
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
          param: 'max_tokens',
          code: 'unsupported_parameter',
        },
  )
  const turn = stage(aiSystem)
  const first = await turn({ settings: { maxTokens: 300 } })
  expect(first.outcomes).toEqual(['refused', 'completed'])
  expect(first.sent.at(-1)?.['max_completion_tokens']).toBe(300)
  expect((await turn({ settings: { maxTokens: 300 } })).outcomes).toEqual(['completed'])
})

test.each(SYSTEMS)('%s: parameters that are not taken are left out, one after the other', async (aiSystem) => {
  refuse((body) => {
    const name = ['temperature', 'top_p', 'stream_options', 'stop'].find((one) => body[one] !== undefined)
    return name === undefined ? null : { message: `Unsupported parameter: '${name}' is not supported.`, param: name }
  })
  const turn = stage(aiSystem)
  const settings = { temperature: 0.2, topP: 0.5, stop: 'end' }
  const first = await turn({ settings })
  expect(first.isOk).toBe(true)
  expect((await turn({ settings })).outcomes).toEqual(['completed'])
})

test('a parameter that is refused whatever it is called ends the call', async () => {
  refuse(() => ({ message: "Unsupported parameter: 'temperature' is not supported.", param: 'temperature' }))
  const { isOk, sent } = await stage('openai-compatible')({ settings: { temperature: 1 } })
  expect(isOk).toBe(false)
  expect(sent.length).toBe(2)
})

test.each(SYSTEMS)(
  '%s: between a result and the next user stands an assistant where one is wanted',
  async (aiSystem) => {
    refuse(({ messages }) =>
      messages.some(({ role }, i) => role === 'user' && messages[i - 1]?.role === 'tool')
        ? "Unexpected role 'user' after role 'tool'"
        : null,
    )
    const turn = stage(aiSystem)
    const messages: ModelMessage[] = [
      USER,
      { role: 'assistant', content: '', toolCalls: [{ id: 'abcDEF123', name: 'get', input: {} }] },
      { role: 'tool', content: 'done', toolCallId: 'abcDEF123', name: 'get' },
      { role: 'user', content: 'Never mind.' },
    ]
    expect((await turn({ messages })).outcomes).toEqual(['refused', 'completed'])
    const second = await turn({ messages })
    expect(second.outcomes).toEqual(['completed'])
    expect(second.sent[0]?.messages.map(({ role }) => role)).toEqual(['user', 'assistant', 'tool', 'assistant', 'user'])
  },
)

test.each(SYSTEMS)('%s: a system text goes before what the user says where the role is not known', async (aiSystem) => {
  refuse(({ messages }) => (messages.some(({ role }) => role === 'system') ? 'System role not supported' : null))
  const { isOk, sent } = await stage(aiSystem)({ system: 'Be brief.' })
  expect(isOk).toBe(true)
  expect(JSON.stringify(sent.at(-1)?.messages)).toContain('Be brief.\\n\\nHello')
})

test.each(SYSTEMS)('%s: what is too long is sent again inside the window that was named', async (aiSystem) => {
  const most = 3_000
  const tokensIn = (body: Body) => Math.ceil(JSON.stringify(body.messages).length / 4)
  refuse((body) => {
    const sent = tokensIn(body)
    if (sent <= most) return null
    return {
      message: `This model's maximum context length is ${most} tokens. However, your messages resulted in ${sent} tokens.`,
      code: 'context_length_exceeded',
    }
  })
  const talk = Array.from({ length: 60 }, (_, i): ModelMessage => {
    const content = `Message ${i}: ${'words of the talk '.repeat(25)}`
    return i % 2 === 0 ? { role: 'user', content } : { role: 'assistant', content }
  })
  const messages = [...talk, USER]
  const turn = stage(aiSystem)
  const first = await turn({ messages })
  expect(first.outcomes).toEqual(['refused', 'completed'])
  const sent = first.sent.at(-1)?.messages ?? []
  expect(sent.length).toBeGreaterThan(5)
  expect(sent[0]?.role).toBe('user')
  expect(JSON.stringify(sent.at(-1))).toContain('Hello')
  expect((await turn({ messages })).outcomes).toEqual(['completed'])
})

test('a window that nobody names is found by trying', async () => {
  refuse((body) => (JSON.stringify(body.messages).length > 9_000 ? 'Input is too long for requested model.' : null))
  const messages: ModelMessage[] = Array.from({ length: 61 }, (_, i) =>
    i % 2 === 0
      ? { role: 'user', content: 'words of the talk '.repeat(25) }
      : { role: 'assistant', content: 'words of the talk '.repeat(25) },
  )
  const turn = stage('openai-compatible')
  expect((await turn({ messages })).isOk).toBe(true)
  expect((await turn({ messages })).outcomes).toEqual(['completed'])
})

test('one message that is too long by itself is refused, and takes no room from others', async () => {
  refuse((body) =>
    JSON.stringify(body.messages).length > 40_000
      ? "This model's maximum context length is 8192 tokens. However, you requested 12000 tokens."
      : null,
  )
  const turn = stage('openai-compatible')
  const long = await turn({ messages: [{ role: 'user', content: 'much '.repeat(10_000) }] })
  expect(long.outcomes).toEqual(['refused'])
  const talk = Array.from({ length: 9 }, (_, i): ModelMessage => {
    const content = 'words of the talk '.repeat(40)
    return i % 2 === 0 ? { role: 'user', content } : { role: 'assistant', content }
  })
  expect((await turn({ messages: talk })).sent[0]?.messages.length).toBe(9)
})

test('results of the turn under way are cut, the oldest first', async () => {
  refuse((body) =>
    JSON.stringify(body.messages).length > 24_000
      ? "This model's maximum context length is 6000 tokens. However, your messages resulted in 11000 tokens."
      : null,
  )
  const toolCalls = [1, 2].map((n) => ({ id: `call_${n}`, name: 'get', input: {} }))
  const messages: ModelMessage[] = [
    USER,
    { role: 'assistant', content: '', toolCalls },
    { role: 'tool', content: 'old words '.repeat(2_000), toolCallId: 'call_1', name: 'get' },
    { role: 'tool', content: 'new words '.repeat(500), toolCallId: 'call_2', name: 'get' },
  ]
  const { isOk, sent } = await stage('openai-compatible')({ messages, settings: { maxTokens: 500 } })
  expect(isOk).toBe(true)
  const last = sent.at(-1)?.messages ?? []
  expect(last.map(({ role }) => role)).toEqual(['user', 'assistant', 'tool', 'tool'])
  expect(String(last[2]?.content)).toContain('(Cut: there was no room for the rest.)')
  expect(last[3]?.content).toBe('new words '.repeat(500))
})

test.each(['openai-compatible', 'azure-openai'])(
  '%s: a file that is refused is left out and named',
  async (aiSystem) => {
    refuse(({ messages }) => (/image_url/.test(JSON.stringify(messages)) ? 'Could not process image' : null))
    const file = { id: 'f1', name: 'a.png', mediaType: 'image/png', tokens: 100, bytes: new Uint8Array([1, 2, 3]) }
    const messages: ModelMessage[] = [{ role: 'user', content: 'Look', attachments: [file] }]
    const turn = stage(aiSystem)
    const settings = { attachments: ['image' as const] }
    const first = await turn({ messages, settings })
    expect(first.outcomes).toEqual(['refused', 'completed'])
    expect(JSON.stringify(first.sent.at(-1)?.messages)).toContain('a.png')
    expect((await turn({ messages, settings })).outcomes).toEqual(['completed'])
  },
)

test('of several files the newest is left out first', async () => {
  const [good, bad] = ['good', 'bad'].map((id, i) => ({
    id,
    name: `${id}.png`,
    mediaType: 'image/png',
    tokens: 100,
    bytes: new Uint8Array([i]),
  }))
  refuse(({ messages }) => (JSON.stringify(messages).includes('base64,AQ') ? 'Could not process image' : null))
  const messages: ModelMessage[] = [
    { role: 'user', content: 'Look', attachments: [good as NonNullable<typeof good>] },
    { role: 'assistant', content: 'Nice.' },
    { role: 'user', content: 'And this', attachments: [bad as NonNullable<typeof bad>] },
  ]
  const { sent } = await stage('openai-compatible')({ messages, settings: { attachments: ['image'] } })
  const last = JSON.stringify(sent.at(-1)?.messages)
  expect(last).toContain('base64,AA')
  expect(last).toContain('bad.png')
})

test.each(SYSTEMS)('%s: a tool without members says that it has none', async (aiSystem) => {
  refuse(({ tools = [] }) =>
    tools.some(({ function: { parameters } }) => parameters['properties'] === undefined) ? 'missing properties' : null,
  )
  const tools = [{ name: 'list', description: 'l', inputSchema: { type: 'object' } }]
  expect((await stage(aiSystem)({ tools })).outcomes).toEqual(['completed'])
})

test('a schema that is refused is sent with less in it', async () => {
  const inputSchema: JsonObject = {
    type: 'object',
    $defs: { Place: { type: 'object', properties: { city: { type: 'string', format: 'city' } }, required: ['city'] } },
    properties: { place: { $ref: '#/$defs/Place' }, when: { type: ['string', 'null'], format: 'date-time' } },
  }
  refuse(({ tools }) =>
    /\$ref|\$defs|format/.test(JSON.stringify(tools))
      ? { message: "Invalid schema for function 'go': $ref is not allowed", code: 'invalid_function_parameters' }
      : null,
  )
  const { isOk, sent } = await stage('openai-compatible')({ tools: [{ name: 'go', description: 'g', inputSchema }] })
  expect(isOk).toBe(true)
  expect(sent.at(-1)?.tools?.[0]?.function.parameters).toEqual({
    type: 'object',
    properties: {
      place: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
      when: { type: 'string' },
    },
  })
})

test('a form that is refused is asked for more loosely, and then not at all', async () => {
  refuse((body) => (body['response_format'] ? 'This response_format type is unavailable now' : null))
  const json_schema = { name: 'x', schema: { type: 'object' } }
  const turn = stage('openai-compatible')
  const { sent } = await turn({ settings: { responseFormat: { type: 'json_schema', json_schema } } })
  expect(sent.map(({ response_format }) => (response_format as { type: string } | undefined)?.type)).toEqual([
    'json_schema',
    'json_object',
    undefined,
  ])
})

test('what one model refuses is nothing for another', async () => {
  refuse((body) =>
    body['temperature'] === undefined ? null : "Unsupported parameter: 'temperature' is not supported.",
  )
  const resilience = createResilience({ registry, clock: Date.now })
  for (const model of ['m1', 'm2']) {
    const { attempts } = await resilience.generate({
      chain: [{ aiSystem: 'openai-compatible', model }],
      caller: { organizationId: 'o', keyId: 'k', conversationId: 'c' },
      request: { system: null, messages: [USER], settings: { temperature: 1 }, signal: new AbortController().signal },
      onText: () => {},
    })
    expect(attempts.map(({ outcome }) => outcome)).toEqual(['refused', 'completed'])
  }
})

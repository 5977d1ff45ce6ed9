import fc from 'fast-check'
import { afterEach, expect, test, vi } from 'vitest'
import { NoAnswerError } from '../replies/finish-reasons.ts'
import { createReplyReader, type ReplyReader } from './reply-reader.ts'
import { createSseParser } from './sse-parser.ts'

type Delta = Record<string, unknown>
/** What happens in a reply, as providers tell it. */
type Part = { kind: 'delta'; delta: Delta; finish?: string | null } | { kind: 'usage' } | { kind: 'raw'; text: string }

/** How one provider writes its events. */
type Dialect = {
  /** Python's `json.dumps` puts spaces behind its separators, and may escape what is not ASCII; PHP escapes slashes. */
  json: 'plain' | 'spaced' | 'ascii' | 'slashes'
  prefix: 'data: ' | 'data:' | 'id: 7\ndata: '
  end: '\n\n' | '\r\n\r\n'
  /** Members that stand in each chunk, and some that are new in each. */
  fixed: Delta
  changing: readonly ('id' | 'created' | 'obfuscation')[]
  /** Behind the delta, in the choice. */
  choice: Delta
}

function write(dialect: Dialect, value: Delta): string {
  const text =
    dialect.json === 'spaced' ? JSON.stringify(value, null, 1).replaceAll(/\n */g, ' ') : JSON.stringify(value)
  if (dialect.json === 'slashes') return text.replaceAll('/', '\\/')
  if (dialect.json !== 'ascii') return text
  return text.replaceAll(/[^ -~]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

function eventOf(dialect: Dialect, part: Part, n: number): string {
  if (part.kind === 'raw') return part.text
  const news = {
    ...(dialect.changing.includes('id') && { id: `chatcmpl-${n}` }),
    ...(dialect.changing.includes('created') && { created: 1_763_912_345 + n }),
  }
  const choices =
    part.kind === 'usage'
      ? []
      : [{ index: 0, delta: part.delta, ...dialect.choice, finish_reason: part.finish ?? null }]
  const usage = part.kind === 'usage' ? { usage: { prompt_tokens: 7, completion_tokens: 3 } } : {}
  const hidden = dialect.changing.includes('obfuscation') ? { obfuscation: 'x'.repeat(1 + (n % 7)) } : {}
  const value = { object: 'chat.completion.chunk', ...dialect.fixed, ...news, choices, ...usage, ...hidden }
  return dialect.prefix + write(dialect, value) + dialect.end
}

/** The reply as it is heard: its texts and signs in order, and what it came to. */
function read(pieces: readonly Uint8Array[], withShortcut: boolean) {
  const heard: string[] = []
  let isDone = false
  const listener = { onText: (text: string) => heard.push(`text ${text}`), onActivity: () => heard.push('sign') }
  const reader = createReplyReader(listener, { tools: [{ name: 'look', description: '', inputSchema: {} }] })
  const parser = createSseParser({
    ...(withShortcut && { takeWhole: reader.takeText }),
    onEvent: (data, event) => {
      isDone = reader.takeEvent(data, event) || isDone
    },
  })
  for (const piece of pieces) parser.push(piece)
  parser.end()
  return { heard, isDone, result: reader.hasFinished() ? cameTo(reader) : null }
}

/** The result, or why there is none: a reply may end and have said nothing. */
function cameTo(reader: ReplyReader) {
  try {
    return reader.result()
  } catch (error) {
    if (error instanceof NoAnswerError) return error.message
    throw error
  }
}

/** What the parts of a reply say, read from their JSON as plainly as can be. */
function textsIn(stream: string): string[] {
  const data = stream.split(/\r?\n/).flatMap((line) => /^data: ?(\{.*)$/s.exec(line)?.[1] ?? [])
  return data.flatMap((json) => {
    const delta = JSON.parse(json).choices[0]?.delta ?? {}
    return [delta.content, delta.refusal].filter((text) => typeof text === 'string' && text !== '')
  })
}

const bytesOf = (text: string) => new TextEncoder().encode(text)

function cut(bytes: Uint8Array, cuts: readonly number[]): Uint8Array[] {
  const ends = [...cuts.map((at) => at % bytes.length).sort((a, b) => a - b), bytes.length]
  return ends.map((end, i) => bytes.slice(ends[i - 1] ?? 0, end))
}

const someText = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 8 }),
  fc.constantFrom('"', '\\', '\\"', '\n', '\r\n', '/', '🐈', '\ud83d', '\udc08', '\u2028', '\0', ' a', 'm', 'content'),
  fc.constantFrom('"},"finish_reason":null}]}\n\ndata: {"object":"chat.completion.chunk"', '[DONE]', 'dramatis-probe'),
)
const textPart = someText.map((content): Part => ({ kind: 'delta', delta: { content } }))
const otherPart = fc.oneof(
  fc.constantFrom<Part>(
    { kind: 'delta', delta: { role: 'assistant', content: '' } },
    { kind: 'delta', delta: { role: 'assistant', content: null, refusal: null } },
    { kind: 'delta', delta: {} },
    { kind: 'delta', delta: { content: null, reasoning_content: 'Hm.' } },
    { kind: 'delta', delta: { tool_calls: [{ index: 0, id: 'c1', function: { name: 'look', arguments: '{"a"' } }] } },
    { kind: 'delta', delta: { content: 'x', tool_calls: [{ index: 0, function: { arguments: ':1}' } }] } },
    { kind: 'delta', delta: { content: 'the end' }, finish: 'length' },
    { kind: 'delta', delta: {}, finish: 'stop' },
    { kind: 'usage' },
    { kind: 'raw', text: ': ping\n\n' },
    { kind: 'raw', text: 'event: message\n' },
    { kind: 'raw', text: '\n' },
  ),
  someText.map((refusal): Part => ({ kind: 'delta', delta: { refusal } })),
  someText.map((content): Part => ({ kind: 'delta', delta: { content, refusal: content } })),
)
const reply = fc.array(fc.oneof({ weight: 6, arbitrary: textPart }, { weight: 1, arbitrary: otherPart }), {
  maxLength: 30,
})
const dialects: fc.Arbitrary<Dialect> = fc.record({
  json: fc.constantFrom('plain', 'spaced', 'ascii', 'slashes'),
  prefix: fc.constantFrom('data: ', 'data: ', 'data:', 'id: 7\ndata: '),
  end: fc.constantFrom('\n\n', '\n\n', '\r\n\r\n'),
  fixed: fc.constantFrom<Delta>(
    { id: 'chatcmpl-1', created: 1_763_912_345, model: 'm' },
    { id: 'chatcmpl-1', model: 'm', service_tier: 'default', system_fingerprint: 'fp_1', usage: null },
    { id: 'chatcmpl-1', provider: 'content', system_fingerprint: null, error: null },
  ),
  changing: fc.oneof(fc.constant([]), fc.subarray(['id', 'created', 'obfuscation'] as const)),
  choice: fc.constantFrom<Delta>(
    {},
    { logprobs: null },
    { logprobs: null, stop_reason: null, native_finish_reason: null },
  ),
})

test('a reply is heard as it was written, whoever wrote it and wherever the network cuts it', () => {
  fc.assert(
    fc.property(dialects, reply, fc.array(fc.nat(), { maxLength: 12 }), (dialect, parts, cuts) => {
      const stream = [...parts.map((part, n) => eventOf(dialect, part, n)), 'data: [DONE]\n\n'].join('')
      const bytes = bytesOf(stream)
      const plain = read([bytes], false)
      expect(plain.heard.filter((one) => one !== 'sign')).toEqual(textsIn(stream).map((text) => `text ${text}`))
      expect(plain.isDone).toBe(true)
      expect(read([bytes], true)).toEqual(plain)
      expect(read(cut(bytes, cuts), true)).toEqual(plain)
    }),
    { numRuns: 1_000 },
  )
})

test('byte by byte too', () => {
  fc.assert(
    fc.property(dialects, fc.array(textPart, { maxLength: 12 }), (dialect, parts) => {
      const stream = parts.map((part, n) => eventOf(dialect, part, n)).join('')
      const single = [...bytesOf(stream)].map((byte) => Uint8Array.of(byte))
      expect(read(single, true)).toEqual(read([bytesOf(stream)], false))
    }),
    { numRuns: 50 },
  )
})

/** A reply of 40 tokens as OpenAI writes it, in one piece. */
function fortyTokens(changing: Dialect['changing']): Uint8Array {
  const dialect: Dialect = {
    json: 'plain',
    prefix: 'data: ',
    end: '\n\n',
    changing,
    fixed: { id: 'chatcmpl-1', created: 1_763_912_345, model: 'm', system_fingerprint: 'fp_1', usage: null },
    choice: { logprobs: null },
  }
  const parts: Part[] = [
    { kind: 'delta', delta: { role: 'assistant', content: '', refusal: null } },
    ...Array.from({ length: 40 }, (_, n): Part => ({ kind: 'delta', delta: { content: ` "word" ${n}\n` } })),
    { kind: 'delta', delta: {}, finish: 'stop' },
    { kind: 'usage' },
  ]
  return bytesOf([...parts.map((part, n) => eventOf(dialect, part, n)), 'data: [DONE]\n\n'].join(''))
}

function countParses(pieces: readonly Uint8Array[]): { whole: number; heard: number } {
  const parse = vi.spyOn(JSON, 'parse')
  const { heard } = read(pieces, true)
  // Of a text with an escape only the text is parsed, which is some 20 bytes instead of 300.
  const whole = parse.mock.calls.filter(([text]) => String(text).startsWith('{')).length
  parse.mockRestore()
  return { whole, heard: heard.filter((one) => one.startsWith('text ')).length }
}

afterEach(() => {
  vi.restoreAllMocks()
})

test('of a reply of 40 tokens hardly an event is parsed', () => {
  const bytes = fortyTokens([])
  // The role, the first text, whether its surroundings are a pattern, the finish reason, the usage.
  expect(countParses([bytes])).toEqual({ whole: 5, heard: 40 })
  expect(countParses(cut(bytes, [1_000, 3_000, 7_000]))).toEqual({ whole: 5, heard: 40 })
})

test('where each event says something new, looking for a pattern ends soon', () => {
  const { whole, heard } = countParses([fortyTokens(['obfuscation'])])
  expect(heard).toBe(40)
  // 43 events, and three patterns that were tried.
  expect(whole).toBeLessThanOrEqual(46)
})

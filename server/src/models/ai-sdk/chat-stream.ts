import { parseExactly } from '../../lib/exact-json.ts'
import { isJsonObject, type JsonObject, type JsonValue } from '../../lib/json.ts'
import { textsOf } from '../chat-completions/content-parts.ts'
import { plainTextOf } from '../chat-completions/reply-reader.ts'
import { createSseParser } from '../chat-completions/sse-parser.ts'
import { createTextShortcut } from '../chat-completions/text-shortcut.ts'
import { createCallCollector } from '../chat-completions/tool-call-pieces.ts'
import type { createCitations } from '../replies/citations.ts'
import { isFinishReason } from '../replies/finish-reasons.ts'
import { readToolInput } from '../tool-input.ts'

/** What a stream may have in it that a package reads more strictly than servers write it. Plain texts have none of it. */
const ODD =
  /_calls?": ?[[{]|"content": ?\[|"(?:images|annotations|citations|search_results)": ?\[|"message": ?\{|"refusal": ?"|_reason": ?"null"|"choices": ?\[(?!\{"index": ?\d)|\r|(?:^|\n)(?!data: ?\{)/

/** Bytes of an answer that is no stream. */
const MOST_OF_BODY = 8 * 1_024 * 1_024
const NO_CHOICE = { index: 0, delta: {}, finish_reason: null }
const CR = 13
const NOTHING = Buffer.alloc(0)

/** Takes the pieces of an answer and gives out what a package can read. Throws when an event is too long. */
export type ChatStream = { push(bytes: Buffer): Buffer; end(): Buffer }

/**
 * A stream of Chat Completions as the packages read it. As long as there is nothing odd in it, its bytes go on as they came,
 * up to the last event that is whole. From the first odd event on each is written anew: calls in one piece just before the
 * finish reason, parts of a content as one text, a message as a delta, without what is no chunk. An answer that is no
 * stream becomes one.
 */
export function createChatStream(reader: {
  onActivity?: (() => void) | undefined
  citations: ReturnType<typeof createCitations>
}): ChatStream {
  const calls = createCallCollector()
  let form: 'undecided' | 'plain' | 'odd' | 'body' | 'foreign' = 'undecided'
  let held = NOTHING
  let hasDelta = false
  let written: string[] = []

  const parser = createSseParser({ onEvent: takeEvent })
  const shortcut = createTextShortcut({ readText: plainTextOf, onText: () => {} })

  function write(data: string, event = ''): void {
    const lines = data.split('\n').map((line) => `data: ${line}\n`)
    written.push(event === '' ? '' : `event: ${event}\n`, ...lines, '\n')
  }

  function takeEvent(data: string, event: string): void {
    const sign = data.length > 16 ? '' : data.trim()
    if (sign === '[DONE]') write(sign)
    if (data.trim() === '' || sign === 'null' || sign === '[DONE]') return
    const value = parse(data)
    const isNamed = event !== '' && event !== 'message'
    if (isJsonObject(value) && event !== 'error' && (value.error ?? null) === null) takeChunk(value)
    else if (event === 'error' || value !== undefined || !isNamed) write(data, event)
  }

  function takeChunk(chunk: JsonObject): void {
    reader.citations.replace(chunk)
    const first = Array.isArray(chunk.choices) ? chunk.choices[0] : undefined
    if (!isJsonObject(first)) {
      // Not all packages read one without a choice.
      if (isJsonObject(chunk.usage)) write(JSON.stringify({ ...chunk, choices: [NO_CHOICE] }))
      return
    }
    const { message, ...choice } = first
    const isPiece = isJsonObject(choice.delta) && Object.keys(choice.delta).length > 0
    const said =
      isJsonObject(choice.delta) && isPiece ? choice.delta : isJsonObject(message) && !hasDelta ? message : {}
    hasDelta ||= isPiece
    choice.delta = takeMessage(said)
    choice.index ??= 0
    if (!isFinishReason(choice.finish_reason)) choice.finish_reason = null
    else {
      const whole = calls.texts().map(toWholeCall)
      const before = { ...choice, delta: { tool_calls: whole }, finish_reason: null }
      if (whole.length > 0) write(JSON.stringify({ ...chunk, choices: [before], usage: null }))
    }
    write(JSON.stringify({ ...chunk, choices: [choice] }))
  }

  /** A message without its calls, which are kept, and with what it says as a text. */
  function takeMessage(message: JsonObject): JsonObject {
    const { tool_calls: pieces, function_call: old, images, refusal, annotations, ...rest } = message
    const isPiece = calls.take(pieces)
    const isOldPiece = isJsonObject(old) && calls.take([{ index: -1, function: old }])
    if (isPiece || isOldPiece) reader.onActivity?.()
    reader.citations.add(annotations)
    reader.citations.addFrom(rest.content)
    // Thoughts among the parts are for the package that knows them.
    if (Array.isArray(rest.content) && JSON.stringify(rest.content).includes('"thinking"')) return rest
    const texts = [rest.content, refusal, images].flatMap((part) => textsOf(part))
    if (texts.length > 0) rest.content = texts.join('')
    return rest
  }

  /** Whether there is nothing odd in these events. Most differ from each other in their text alone. */
  function isPlain(events: string): boolean {
    for (let at = 0; at < events.length; ) {
      const taken = shortcut.take(events, at)
      if (taken === -1) {
        const end = events.indexOf('\n\n', at)
        const event = end === -1 ? events.slice(at) : events.slice(at, end)
        const isDone = event === 'data: [DONE]'
        if (!isDone && (ODD.test(event) || !event.includes('"delta"'))) return false
        if (end === -1) return true
        const data = event.slice('data: '.length)
        const content = plainTextOf(data)
        if (content) shortcut.learn(data, content)
        at = end + 2
      } else at = taken
    }
    return true
  }

  function takeWritten(): Buffer {
    const bytes = Buffer.from(written.join(''))
    written = []
    return bytes
  }

  return {
    push(bytes) {
      if (form === 'foreign') return bytes
      if (form === 'odd') {
        parser.push(bytes)
        return takeWritten()
      }
      const all = held.length === 0 ? bytes : Buffer.concat([held, bytes])
      if (form === 'undecided') form = formOf(all)
      if (form === 'foreign') {
        held = NOTHING
        return all
      }
      if (all.length > MOST_OF_BODY) throw new Error('an event is too long')
      const end = form === 'plain' ? all.lastIndexOf('\n\n') + 2 : 0
      // As Latin-1: what is looked for is ASCII, and no character can be cut.
      // Lines that end in another way have no such end, and would be held for ever.
      const isOdd = end < 2 ? all.includes(CR) : !isPlain(all.toString('latin1', 0, end))
      if (form === 'plain' && isOdd) {
        form = 'odd'
        held = NOTHING
        parser.push(all)
        return takeWritten()
      }
      if (end < 2) {
        held = Buffer.from(all)
        return NOTHING
      }
      // What went on as it was had its texts in deltas.
      hasDelta = true
      held = Buffer.from(all.subarray(end))
      return all.subarray(0, end)
    },
    end() {
      if (form === 'body') takeBody(held.toString('utf8').replace(/^\uFEFF/, ''))
      else if (form === 'odd') parser.end()
      else return held
      return takeWritten()
    },
  }

  /** A whole reply, or chunks that stand one in a line. */
  function takeBody(body: string): void {
    const value = parse(body)
    const values = value === undefined ? body.split('\n').map(parse) : [value].flat()
    if (values.some((one) => one === undefined && value !== undefined)) return
    for (const one of values) if (one !== undefined) takeEvent(JSON.stringify(one), '')
    write('[DONE]')
  }
}

/** By its first letter or sign: an object or a list is a body, a tag begins a page, everything else is a stream. */
function formOf(bytes: Buffer): 'undecided' | 'plain' | 'body' | 'foreign' {
  const first = bytes.find((byte) => byte > 32 && byte < 128)
  if (first === undefined) return 'undecided'
  if (first === 0x3c) return 'foreign'
  return first === 0x7b || first === 0x5b ? 'body' : 'plain'
}

/** An input that cannot be read goes on as a text, which is JSON for the package and no object for us. */
function toWholeCall({ id, name, input }: { id: string; name: string; input: string }, index: number): JsonObject {
  const text = input.trim() === '' ? '{}' : input
  const isReadable = readToolInput(text) !== null && parse(text) !== undefined
  const args = isReadable ? text : JSON.stringify(readToolInput(text) ?? text)
  return { index, id, type: 'function', function: { name, arguments: args } }
}

function parse(text: string): JsonValue | undefined {
  try {
    return parseExactly(text)
  } catch {
    return undefined
  }
}

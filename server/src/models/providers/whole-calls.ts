import { isJsonObject, type JsonObject, type JsonValue } from '../../lib/json.ts'
import { createSseParser } from '../chat-completions/sse-parser.ts'
import { createCallCollector } from '../chat-completions/tool-call-pieces.ts'
import { isFinishReason } from '../replies/finish-reasons.ts'
import { readToolInput } from '../tool-input.ts'
import { currentReader } from './stream-end.ts'

/**
 * The same stream of Chat Completions, with each call in one piece just before the finish reason. The packages read
 * the pieces of a call more strictly than servers send them, and lose the reply with it.
 */
export function withWholeCalls(body: ReadableStream<Uint8Array>): ReadableStream<Uint8Array> {
  const onActivity = currentReader()?.onActivity
  const encoder = new TextEncoder()
  const calls = createCallCollector()
  let written: string[] = []

  function write(data: string, event: string): void {
    const lines = data.split('\n').map((line) => `data: ${line}\n`)
    written.push(event === '' ? '' : `event: ${event}\n`, ...lines, '\n')
  }

  const parser = createSseParser({
    onEvent(data, event) {
      const chunk = mayMatter(data) ? parse(data) : null
      const choice = chunk === null ? null : firstChoice(chunk)
      if (chunk === null || choice === null) return write(data, event)
      if (takeCalls(choice, calls)) onActivity?.()
      if (isFinishReason(choice.finish_reason)) {
        const whole = calls.texts().map(toWholeCall)
        const first = { ...choice, delta: { tool_calls: whole }, finish_reason: null }
        if (whole.length > 0) write(JSON.stringify({ ...chunk, choices: [first], usage: null }), event)
      }
      write(JSON.stringify(chunk), event)
    },
  })

  function flush(controller: TransformStreamDefaultController<Uint8Array>): void {
    if (written.length === 0) return
    controller.enqueue(encoder.encode(written.join('')))
    written = []
  }

  return body.pipeThrough(
    new TransformStream<Uint8Array, Uint8Array>({
      transform(bytes, controller) {
        parser.push(bytes)
        flush(controller)
      },
      flush(controller) {
        parser.end()
        flush(controller)
      },
    }),
  )
}

/** Most chunks are a text and nothing else, and go on as they are. */
function mayMatter(data: string): boolean {
  return /"(?:tool_calls|function_call)"|"finish_reason" ?: ?"/.test(data)
}

/** Moves the pieces of calls out of a chunk. True if there were some. */
function takeCalls(choice: JsonObject, calls: ReturnType<typeof createCallCollector>): boolean {
  const { delta } = choice
  if (!isJsonObject(delta)) return false
  const { tool_calls: pieces, function_call: old, ...rest } = delta
  if (pieces === undefined && old === undefined) return false
  choice.delta = rest
  const isPiece = calls.take(pieces)
  return (isJsonObject(old) && calls.take([{ index: -1, function: old }])) || isPiece
}

/** An input that cannot be read goes on as a text, which is JSON for the package and no object for us. */
function toWholeCall({ id, name, input }: { id: string; name: string; input: string }, index: number): JsonObject {
  const text = input.trim() === '' ? '{}' : input
  const readable = readToolInput(text) === null || !isJson(text) ? JSON.stringify(readToolInput(text) ?? text) : text
  return { index, id, type: 'function', function: { name, arguments: readable } }
}

function firstChoice(chunk: JsonObject): JsonObject | null {
  const choice = Array.isArray(chunk.choices) ? chunk.choices[0] : undefined
  return isJsonObject(choice) ? choice : null
}

function isJson(text: string): boolean {
  return parseAny(text) !== undefined
}

function parse(text: string): JsonObject | null {
  const value = parseAny(text)
  return isJsonObject(value) ? value : null
}

function parseAny(text: string): JsonValue | undefined {
  try {
    return JSON.parse(text) as JsonValue
  } catch {
    return undefined
  }
}

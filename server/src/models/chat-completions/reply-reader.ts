import { isJsonObject, type JsonValue } from '../../lib/json.ts'
import { messageIn } from '../errors/provider-errors.ts'
import type { ModelFinishReason, ModelResult, ModelUsage } from '../model.ts'
import { toUsage } from '../usage.ts'
import { createTextShortcut } from './text-shortcut.ts'
import { createCallCollector } from './tool-call-pieces.ts'

/** What went wrong inside a reply, as the end of a sentence that begins with the provider's name. */
export class ReplyError extends Error {
  /** What the provider said about it; may hold anything. */
  readonly said: string

  constructor(message: string, said = '') {
    super(message)
    this.name = 'ReplyError'
    this.said = said
  }
}

export type ReplyListener = {
  onText(text: string): void
  /** A piece of a call has come. */
  onActivity?: (() => void) | undefined
}

export type ReplyReader = {
  /** Takes the event at `at` of the stream if it is one like those before. Where it ends; -1 when it was not taken. */
  takeText(stream: string, at: number): number
  /** One event of the stream. True after `[DONE]`. Throws {@link ReplyError}. */
  takeEvent(data: string, event: string): boolean
  /** A whole body instead of a stream: some servers answer so although `stream` was true. Throws {@link ReplyError}. */
  takeBody(body: string): void
  /** Throws {@link ReplyError} when there was no finish reason. */
  result(): ModelResult
  hasFinished(): boolean
}

/**
 * Reads a Chat Completions reply, event by event
 * (https://platform.openai.com/docs/api-reference/chat-streaming) or whole. `reasoning_content` is not passed on.
 */
export function createReplyReader({ onText, onActivity }: ReplyListener): ReplyReader {
  let finishReason: ModelFinishReason | null = null
  let usage: ModelUsage | null = null
  const calls = createCallCollector()
  const shortcut = createTextShortcut({ readText: plainTextOf, onText })

  function takeChunk(value: JsonValue, member: 'delta' | 'message'): void {
    if (!isJsonObject(value)) throw new ReplyError('sent something that is no chat completion')
    if (value.error !== undefined && value.error !== null) throw failedInside(value.error)
    usage = readUsage(value.usage) ?? usage
    const choice = Array.isArray(value.choices) ? value.choices[0] : undefined
    // The chunk with the usage has no choice.
    if (!isJsonObject(choice)) return
    const content = choice[member]
    if (isJsonObject(content)) {
      if (typeof content.content === 'string' && content.content !== '') onText(content.content)
      // A refusal is what the model said instead of an answer.
      if (typeof content.refusal === 'string' && content.refusal !== '') onText(content.refusal)
      if (calls.take(content.tool_calls)) onActivity?.()
    }
    if (typeof choice.finish_reason !== 'string' || choice.finish_reason === '') return
    // OpenRouter's word for a provider behind it that broke down.
    if (choice.finish_reason === 'error') throw failedInside(choice.error ?? null)
    finishReason = FINISH_REASONS.get(choice.finish_reason) ?? 'stop'
  }

  return {
    takeText: shortcut.take,
    takeEvent(data, event) {
      if (data === '[DONE]') return true
      if (data === '') return false
      const value = parse(data)
      if (event === 'error') throw failedInside(value ?? data)
      if (value === null) throw new ReplyError('sent something that is not JSON')
      takeChunk(value, 'delta')
      const content = plainText(value)
      if (content) shortcut.learn(data, content)
      return false
    },
    takeBody(body) {
      const value = parse(body)
      if (value === null) throw new ReplyError('sent something that is not JSON')
      takeChunk(value, 'message')
    },
    result() {
      if (finishReason === null) throw new ReplyError('ended without a finish reason')
      const toolCalls = calls.all()
      return { finishReason, usage, ...(toolCalls.length > 0 && { toolCalls }) }
    },
    hasFinished: () => finishReason !== null,
  }
}

/** Not an object, which would know `toString` too. */
const FINISH_REASONS: ReadonlyMap<string, ModelFinishReason> = new Map([
  ['stop', 'stop'],
  ['length', 'length'],
  ['tool_calls', 'tool_calls'],
  ['function_call', 'tool_calls'],
  ['content_filter', 'content_filter'],
])

function failedInside(error: JsonValue): ReplyError {
  return new ReplyError('failed while it was answering', messageIn(error) ?? '')
}

function readUsage(value: JsonValue | undefined): ModelUsage | null {
  if (!isJsonObject(value)) return null
  // A prompt without an answer is reported without the other one by some servers.
  return toUsage(value.prompt_tokens, value.completion_tokens ?? 0)
}

/** The text of a chunk that says nothing else; null of any other. */
function plainText(value: JsonValue): string | null {
  if (!isJsonObject(value) || (value.error ?? value.usage ?? null) !== null || !Array.isArray(value.choices))
    return null
  const choice = value.choices[0]
  if (!isJsonObject(choice) || (choice.finish_reason ?? '') !== '' || !isJsonObject(choice.delta)) return null
  const { content, refusal = null, tool_calls: calls = null } = choice.delta
  return typeof content === 'string' && refusal === null && calls === null ? content : null
}

function plainTextOf(data: string): string | null {
  return plainText(parse(data))
}

/** null for what is not JSON, and for JSON's null, which is no more use. */
function parse(text: string): JsonValue {
  try {
    return JSON.parse(text) as JsonValue
  } catch {
    return null
  }
}

import { parseExactly } from '../../lib/exact-json.ts'
import { isJsonObject, type JsonObject, type JsonValue } from '../../lib/json.ts'
import { messageIn } from '../errors/provider-errors.ts'
import type { ModelRequest, ModelResult, ModelUsage } from '../model.ts'
import { createCitations } from '../replies/citations.ts'
import { endingOf, hasSpoken, isFinishReason, resultOf } from '../replies/finish-reasons.ts'
import { toUsage } from '../replies/usage.ts'
import { textsOf } from './content-parts.ts'
import { createTextShortcut } from './text-shortcut.ts'
import { createMemberCollector, hasMembersBeside, thoughtsInParts } from './thought-members.ts'
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
  onThought?: ((text: string) => void) | undefined
}

/** A reply, and what stood beside it in members that are read nowhere else. */
export type ReadReply = Omit<ModelResult, 'thoughts'> & { members?: JsonObject }

export type ReplyReader = {
  /** Takes the event at `at` of the stream if it is one like those before. Where it ends; -1 when it was not taken. */
  takeText(stream: string, at: number): number
  /** One event of the stream. True for `[DONE]`. Throws {@link ReplyError}. */
  takeEvent(data: string, event: string): boolean
  /** A whole body instead of a stream: some servers answer so although `stream` was true. Throws {@link ReplyError}. */
  takeBody(body: string): void
  /** Throws {@link ReplyError} when there was no finish reason, and {@link NoAnswerError} when it is no answer. */
  result(): ReadReply
  hasFinished(): boolean
}

/**
 * Reads a Chat Completions reply, event by event
 * (https://platform.openai.com/docs/api-reference/chat-streaming) or whole. Thoughts have a listener of their own. Calls
 * are kept where there are tools to call.
 */
export function createReplyReader(
  { onText, onActivity, onThought = onActivity }: ReplyListener,
  { tools = [], messages = [] }: Partial<Pick<ModelRequest, 'tools' | 'messages'>> = {},
  aiSystem?: string,
): ReplyReader {
  let rawFinishReason: string | null = null
  let usage: ModelUsage | null = null
  let hasText = false
  let hasDelta = false
  const calls = createCallCollector(new Set(tools.map(({ name }) => name)), aiSystem)
  const beside = createMemberCollector((text) => onThought?.(text))
  const citations = createCitations()
  const shortcut = createTextShortcut({ readText: plainTextOf, onText })

  function say(text: string): void {
    if (text === '') return
    hasText = true
    onText(text)
  }

  function takeMessage(message: JsonObject): void {
    if (beside.take(message)) onActivity?.()
    const thought = thoughtsInParts(message.content)
    if (thought !== '') onThought?.(thought)
    for (const text of textsOf(message.content)) say(text)
    // A refusal is what the model said instead of an answer.
    if (typeof message.refusal === 'string') say(message.refusal)
    for (const text of textsOf(message.images)) say(text)
    citations.add(message.annotations)
    citations.addFrom(message.content)
    const isPiece = calls.take(message.tool_calls)
    // Its form before there could be more than one.
    const isOldPiece = isJsonObject(message.function_call) && calls.take([asFirst(message.function_call)])
    if (isPiece || isOldPiece) onActivity?.()
  }

  function takeChunk(value: JsonValue, isWhole = false): void {
    if (!isJsonObject(value)) throw new ReplyError('sent something that is no chat completion')
    if (value.error !== undefined && value.error !== null) throw failedInside(value.error)
    usage = readUsage(value.usage) ?? usage
    citations.replace(value)
    const choice = Array.isArray(value.choices) ? value.choices[0] : undefined
    // The chunk with the usage has no choice.
    if (!isJsonObject(choice)) return
    const { delta, message } = choice
    if (isJsonObject(delta) && !isWhole) takeMessage(delta)
    // Some stream their pieces under this name; of others it is the whole reply once more.
    if (isJsonObject(message) && !hasDelta) takeMessage(message)
    hasDelta ||= isJsonObject(delta) && Object.keys(delta).length > 0
    if (!isFinishReason(choice.finish_reason)) return
    // OpenRouter's word for a provider behind it that broke down.
    if (choice.finish_reason === 'error') throw failedInside(choice.error ?? null)
    if (rawFinishReason === null) onActivity?.()
    rawFinishReason = choice.finish_reason
  }

  return {
    takeText: shortcut.take,
    takeEvent(data, event) {
      if (data.length <= LONGEST_SIGN) {
        const sign = data.trim()
        if (sign === '[DONE]') return true
        if (sign === '' || sign === 'null') return false
      }
      const value = parse(data)
      if (event === 'error') throw failedInside(value ?? data)
      // Whoever gives its events names has some that are no chunks, such as `ping`.
      if (!isJsonObject(value) && event !== '' && event !== 'message') return false
      if (value === null) throw new ReplyError('sent something that is not JSON')
      takeChunk(value)
      const content = plainText(value)
      if (content) shortcut.learn(data, content)
      return false
    },
    takeBody(body) {
      const plain = body.startsWith(BYTE_ORDER_MARK) ? body.slice(1) : body
      const value = parse(plain)
      if (value === null) takeLines(plain)
      else takeChunk(Array.isArray(value) ? (value[0] ?? null) : value, true)
    },
    result() {
      if (rawFinishReason === null) throw new ReplyError('ended without a finish reason')
      const toolCalls = tools.length === 0 ? [] : calls.all()
      const found = citations.all()
      const [ending, raw] = [endingOf(rawFinishReason), rawFinishReason]
      const result = resultOf({ ending, raw, hasText: hasText || hasSpoken(messages), toolCalls, usage })
      const members = beside.all()
      return { ...result, ...(found.length > 0 && { citations: found }), ...(members && { members }) }
    },
    hasFinished: () => rawFinishReason !== null,
  }

  /** Chunks that stand one in a line, without the frame of events. */
  function takeLines(body: string): void {
    const values = body.split('\n').flatMap((line) => (line.trim() === '' ? [] : [parse(line)]))
    if (values.some((value) => !isJsonObject(value))) throw new ReplyError('sent something that is not JSON')
    for (const value of values) takeChunk(value)
  }
}

const BYTE_ORDER_MARK = '\uFEFF'
/** UTF-16 units of an event that may be a sign and no chunk. */
const LONGEST_SIGN = 16

/** A call as if it were the first of a list, where no other has its index. */
function asFirst(call: JsonObject): JsonObject {
  return { index: -1, function: call }
}

function failedInside(error: JsonValue): ReplyError {
  return new ReplyError('failed while it was answering', messageIn(error) ?? '')
}

function readUsage(value: JsonValue | undefined): ModelUsage | null {
  if (!isJsonObject(value)) return null
  // A prompt without an answer is reported without the other one by some servers.
  const details = value.completion_tokens_details
  const thought = isJsonObject(details) ? details.reasoning_tokens : undefined
  return toUsage(value.prompt_tokens, value.completion_tokens ?? 0, thought)
}

/** The text of a chunk that says nothing else; null of any other. */
function plainText(value: JsonValue): string | null {
  if (!isJsonObject(value) || (value.error ?? value.usage ?? null) !== null || !Array.isArray(value.choices))
    return null
  const choice = value.choices[0]
  if (!isJsonObject(choice) || (choice.finish_reason ?? '') !== '' || !isJsonObject(choice.delta)) return null
  const { content } = choice.delta
  if (hasMembersBeside(choice.delta)) return null
  const hasMore = BESIDE_TEXT.some((member) => (choice.delta as JsonObject)[member] ?? false)
  return typeof content === 'string' && !hasMore ? content : null
}

/** Members of a delta that say something of their own. */
const BESIDE_TEXT = ['refusal', 'tool_calls', 'function_call', 'images', 'annotations'] as const

/** The text of a chunk that says nothing else; null of any other, and of what is none. */
export function plainTextOf(data: string): string | null {
  return plainText(parse(data))
}

/** null for what is not JSON, and for JSON's null, which is no more use. */
function parse(text: string): JsonValue {
  try {
    return parseExactly(text)
  } catch {
    return null
  }
}

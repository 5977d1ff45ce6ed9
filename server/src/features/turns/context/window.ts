import { estimateTokens } from '../../../lib/text/token-estimate.ts'
import type { ModelMessage } from '../../../models/model.ts'
import type { ModelFile } from '../../../models/model-file.ts'
import type { Thoughts } from '../../../models/thinking/thoughts.ts'
import type { ToolCall } from '../../../models/tool-call.ts'
import type { Message } from '../../conversations/conversation.ts'
import { toModelMessages } from './model-messages.ts'

/** Tokens that the frame of one message costs with most providers. */
const TOKENS_PER_MESSAGE = 4

export type Context = { system: string | null; messages: ModelMessage[] }

/** Reads up to `limit` messages from `before` back, newest first. */
export type ReadNewest = {
  (before: string, limit: number): Promise<Message[]>
  /** So many of the newest are at hand: a first page of that size costs nothing. */
  atHand?: number
  /** With those everything is at hand that stands behind this id. */
  behind?: string
}

/** A message whose tokens have been counted, as soon as somebody had to. */
export type CountedMessage = Message & { tokens?: number }
/** The newest part of a talk, oldest message first. */
export type Window = {
  messages: readonly CountedMessage[]
  /** There is nothing before it. */
  isWhole: boolean
  /** It is everything that stands behind this id, where nothing else has cut it. */
  behind?: string
}

/** Messages of the first page; each further one is larger, because whoever needs it will need more. */
const FIRST_PAGE = 64
const LARGEST_PAGE = 1_024

/**
 * The newest messages behind the id `after` that fit into `budget` tokens, oldest first. Reads in pages from the newest
 * back and stops when the budget is used up, so the cost is that of the window and not of the conversation. The newest
 * message is always taken, and what is left begins with a whole exchange.
 */
export async function readWindow(
  readNewest: ReadNewest,
  newestId: string,
  budget: number,
  after: string | null = null,
): Promise<Window> {
  const taken: CountedMessage[] = []
  let left = budget
  let before = newestId
  let hasUser = false
  const first = readNewest.atHand ?? FIRST_PAGE
  for (let limit = first; ; limit = Math.min(Math.max(limit * 4, FIRST_PAGE), LARGEST_PAGE)) {
    const page: readonly CountedMessage[] = await readNewest(before, limit)
    for (const message of page) {
      if (taken.at(-1)?.id === message.id) continue
      if (after !== null && message.id <= after) return windowBehind(after, taken)
      if (isLeftOut(message, newestId)) {
        taken.push({ ...message, tokens: 0 })
        continue
      }
      const counted = message.tokens === undefined ? { ...message, tokens: tokensOf(message) } : message
      left -= tokensOf(counted)
      // Within an exchange nothing is cut: results would lose their calls.
      if (left < 0 && hasUser) return { messages: withoutHalfExchange(taken.reverse()), isWhole: false }
      taken.push(counted)
      hasUser ||= message.role === 'user'
    }
    const last = page.at(-1)
    if (page.length < limit || !last) return { messages: taken.reverse(), isWhole: true }
    if (after !== null && isAllBehind(after, readNewest, taken)) return windowBehind(after, taken)
    before = last.id
  }
}

/** Whether models are not sent it: it was refused, and is not what is to be answered now. */
export function isLeftOut(message: Message, newestId: string): boolean {
  return message.leftOut !== undefined && message.id !== newestId
}

/** The newest of these messages that have so many tokens, by the same rules. */
export function newestIn(messages: readonly CountedMessage[], budget: number): readonly CountedMessage[] {
  let left = budget
  let hasUser = false
  for (let i = messages.length - 1; i >= 0; i--) {
    const message = messages[i] as CountedMessage
    left -= tokensOf(message)
    if (left < 0 && hasUser) return withoutHalfExchange(messages.slice(i + 1))
    hasUser ||= message.role === 'user'
  }
  return messages
}

function isAllBehind(after: string, { atHand, behind }: ReadNewest, taken: readonly Message[]): boolean {
  return behind !== undefined && behind <= after && taken.length === atHand
}

/** `taken` has the newest message first. */
function windowBehind(after: string, taken: CountedMessage[]): Window {
  return { messages: taken.reverse(), isWhole: false, behind: after }
}

/** After a cut, an answer whose question is gone would only confuse. */
function withoutHalfExchange(messages: readonly CountedMessage[]): readonly CountedMessage[] {
  const firstUser = messages.findIndex(({ role }) => role === 'user')
  return firstUser > 0 ? messages.slice(firstUser) : messages
}

/** Stands for a user's message that there is not. */
const NOT_SHOWN = '(What was said before is not shown.)'

/**
 * What a strict provider accepts: no empty message, user and assistant in turn (unanswered user messages are merged, so
 * are replies in a row), calls paired with results, and with `userFirst` a user at the beginning: what was said before goes into the system text.
 */
export function shapeContext(systemText: string | null, history: readonly Message[], userFirst: boolean): Context {
  const messages = toModelMessages(history)
  const system = systemText !== null && systemText.trim() !== '' ? systemText : null
  const opening = messages[0]
  if (!userFirst || opening?.role !== 'assistant') return { system, messages }
  // Calls cannot stand in a system text.
  if (opening.toolCalls) return { system, messages: [{ role: 'user', content: NOT_SHOWN }, ...messages] }
  const said = `You began the conversation by saying:\n${opening.content}`
  return { system: system === null ? said : `${system}\n\n${said}`, messages: messages.slice(1) }
}

/** About how many tokens a context has. */
export function contextTokens(context: Context): number {
  return systemTokens(context) + historyTokens(context)
}

/** About how many tokens its system text has. */
export function systemTokens({ system }: Context): number {
  return system === null ? 0 : messageTokens(system)
}

/** About how many tokens its messages have. */
export function historyTokens({ messages }: Context): number {
  return messages.reduce((sum, message) => sum + tokensOf(message), 0)
}

type Counted = Pick<Message, 'content'> & {
  toolCalls?: readonly ToolCall[]
  thoughts?: Thoughts
  attachments?: readonly Pick<ModelFile, 'tokens'>[]
  tokens?: number
}

/** About how many tokens a message takes, with what it calls, the files and the thoughts that stand with it. */
export function tokensOf(message: Counted): number {
  if (message.tokens !== undefined) return message.tokens
  const calls = message.toolCalls ? estimateTokens(JSON.stringify(message.toolCalls)) : 0
  const files = message.attachments?.reduce((sum, { tokens }) => sum + tokens, 0) ?? 0
  const thoughts = message.thoughts ? estimateTokens(JSON.stringify(message.thoughts)) : 0
  return messageTokens(message.content) + calls + files + thoughts
}

/** About how many tokens a text takes as a message. */
export function messageTokens(content: string): number {
  return estimateTokens(content) + TOKENS_PER_MESSAGE
}

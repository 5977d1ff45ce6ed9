import { estimateTokens } from '../../lib/text/token-estimate.ts'
import type { ModelMessage } from '../model.ts'

/** Tokens that the frame of one message costs with most providers. */
const TOKENS_PER_MESSAGE = 4
/** UTF-16 units that are left of a result that has to be cut. */
const LEAST_OF_RESULT = 400

const CUT = '(Cut: there was no room for the rest.)'

/**
 * The same messages in so many tokens: the oldest exchanges are left out, and if that is not enough, results of the turn
 * under way are cut, the oldest first. Null where even so there is no room for what the user has said last. Messages that
 * fit are the same array.
 */
export function fitWindow(messages: ModelMessage[], room: number): ModelMessage[] | null {
  let left = room - messages.reduce((sum, message) => sum + tokensOfMessage(message), 0)
  if (left >= 0) return messages
  const newest = messages.findLastIndex(({ role }) => role === 'user')
  let from = 0
  while (from < newest && (left < 0 || messages[from]?.role !== 'user')) {
    left += tokensOfMessage(messages[from] as ModelMessage)
    from++
  }
  const kept = messages.slice(from)
  return left >= 0 ? kept : cutResults(kept, -left)
}

function cutResults(messages: ModelMessage[], over: number): ModelMessage[] | null {
  let missing = over
  const fitted = messages.map((message): ModelMessage => {
    if (missing <= 0 || message.role !== 'tool' || message.content.length <= LEAST_OF_RESULT) return message
    const before = tokensOfMessage(message)
    // Tokens are not spread evenly, so a little more goes than is needed.
    const share = Math.max(0, 1 - (missing * 1.1 + 16) / before)
    const length = Math.max(LEAST_OF_RESULT, Math.floor(message.content.length * share))
    const shorter = { ...message, content: `${message.content.slice(0, length).toWellFormed()}\n${CUT}` }
    missing -= before - tokensOfMessage(shorter)
    return shorter
  })
  return missing <= 0 ? fitted : null
}

/** About how many tokens a message takes, with what it calls and the files that stand with it. */
export function tokensOfMessage(message: ModelMessage): number {
  const calls = message.role === 'assistant' && message.toolCalls ? JSON.stringify(message.toolCalls) : ''
  const files = message.role === 'user' ? (message.attachments ?? []).reduce((sum, { tokens }) => sum + tokens, 0) : 0
  return estimateTokens(message.content) + (calls === '' ? 0 : estimateTokens(calls)) + files + TOKENS_PER_MESSAGE
}

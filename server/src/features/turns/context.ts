import { estimateTokens } from '../../lib/token-estimate.ts'
import type { ModelMessage } from '../../models/model.ts'
import type { Message } from '../conversations/conversation.ts'

/** Tokens that the frame of one message costs with most providers. */
const TOKENS_PER_MESSAGE = 4

export type Context = { system: string | null; messages: ModelMessage[] }

/** Reads up to `limit` messages from `before` back, newest first. */
export type ReadNewest = (before: string, limit: number) => Promise<Message[]>

const PAGE = 64

/**
 * The newest messages that fit into `budget` tokens, oldest first. Reads in pages from the newest back and stops when
 * the budget is used up, so the cost is that of the window and not of the conversation. The newest message is always
 * taken, and what is left begins with a whole exchange.
 */
export async function readWindow(readNewest: ReadNewest, newestId: string, budget: number): Promise<Message[]> {
  const taken: Message[] = []
  let left = budget
  let before = newestId
  for (;;) {
    const page = await readNewest(before, PAGE)
    for (const message of page) {
      if (taken.at(-1)?.id === message.id) continue
      left -= estimateTokens(message.content) + TOKENS_PER_MESSAGE
      if (left < 0 && taken.length > 0) return withoutHalfExchange(taken.reverse())
      taken.push(message)
    }
    const last = page.at(-1)
    if (page.length < PAGE || !last) return taken.reverse()
    before = last.id
  }
}

/** After a cut, an answer whose question is gone would only confuse. */
function withoutHalfExchange(messages: Message[]): Message[] {
  const firstUser = messages.findIndex(({ role }) => role === 'user')
  return firstUser > 0 ? messages.slice(firstUser) : messages
}

/**
 * What a strict provider accepts: no empty message, user and assistant in turn (unanswered user messages are merged, so
 * are replies in a row), and with `userFirst` a user at the beginning: what was said before goes into the system text.
 */
export function shapeContext(systemText: string | null, history: readonly Message[], userFirst: boolean): Context {
  const messages: ModelMessage[] = []
  for (const { role, content } of history) {
    if ((role !== 'user' && role !== 'assistant') || content.trim() === '') continue
    const last = messages.at(-1)
    if (last?.role === role) last.content += `\n\n${content}`
    else messages.push({ role, content })
  }
  const system = systemText !== null && systemText.trim() !== '' ? systemText : null
  const opening = messages[0]
  if (!userFirst || opening?.role !== 'assistant') return { system, messages }
  const said = `You began the conversation by saying:\n${opening.content}`
  return { system: system === null ? said : `${system}\n\n${said}`, messages: messages.slice(1) }
}

/** About how many tokens a context has. */
export function contextTokens(context: Context): number {
  const system = context.system === null ? 0 : estimateTokens(context.system) + TOKENS_PER_MESSAGE
  return context.messages.reduce((sum, { content }) => sum + estimateTokens(content) + TOKENS_PER_MESSAGE, system)
}

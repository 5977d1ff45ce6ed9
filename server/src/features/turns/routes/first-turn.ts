import type { Conversation, Message } from '../../conversations/conversation.ts'
import type { StartedConversation } from '../../conversations/start-conversation.ts'
import { lastIdOf } from '../reply/reply-messages.ts'
import type { Usage } from '../run/run.ts'
import type { Exchange } from '../run-service.ts'

type Shown = { conversation: Conversation; messages: Message[] }

/** A new conversation when its first message has been taken, and nothing has answered yet. */
export function openingOf({ conversation, messages }: StartedConversation, userMessage: Message): Shown {
  return opening(conversation, [...messages, userMessage])
}

/** The same, of a conversation that may have gone on since: what has changed by then is as it was at first. */
export function openingAgain({ conversation, messages }: Shown, { question }: Exchange): Shown {
  const before = messages.filter(({ id }) => id < question.id)
  return opening({ ...conversation, status: 'open', name: null, isActive: true }, [...before, question])
}

function opening(conversation: Conversation, messages: Message[]): Shown {
  const counts = { messageCount: messages.length, promptTokens: 0, completionTokens: 0 }
  return { conversation: { ...conversation, isStarted: true, ...counts }, messages }
}

/** The last message that belongs to a first exchange. */
export function lastOf({ question, reply }: Exchange): string {
  return reply ? lastIdOf(reply.id) : question.id
}

/** A conversation up to the reply of its first run, whatever has come after, or taken its place. */
export function upToReply({ conversation, messages }: Shown, exchange: Exchange, usage: Usage): Shown {
  const { question, reply } = exchange
  const last = lastOf(exchange)
  const before = messages.filter(({ id }) => id < question.id)
  const replies = messages.filter(({ id }) => id > question.id && id <= last)
  const until = [...before, question, ...(replies.length === 0 && reply ? [reply] : replies)]
  return { conversation: { ...conversation, messageCount: until.length, ...usage }, messages: until }
}

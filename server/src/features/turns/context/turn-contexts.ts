import type { ConversationKey } from '../../../lib/conversation-key.ts'
import type { Database } from '../../../storage/database.ts'
import type { ConversationForTurn, Message } from '../../conversations/conversation.ts'
import type { ConversationTurns } from '../../conversations/for-turns/conversation-turns.ts'
import { type BuiltContext, buildContext, isSummarized, type Summary } from './build-context.ts'
import { createRememberedConversations, type Position } from './remembered-conversations.ts'
import { findSummary } from './summary-queries.ts'
import type { Context, ReadNewest, Window } from './window.ts'

/** What is asked of the model: the conversation, and the message that is to be answered. */
export type Question = {
  conversation: ConversationForTurn
  userMessage: Message
  /** How its conversation stood before it; null where others may have come in between, or something is replaced. */
  standing: Position | null
}
/** What is stored of a conversation, and from where back it belongs to the turn; a message with this very id does not. */
export type Earlier = { read: ReadNewest; before: string }
export type TurnContexts = ReturnType<typeof createTurnContexts>

/**
 * What the model of a turn gets to see, whoever asks: who runs the turn, who makes it ready early, who reserves tokens for
 * it, who takes it over after a crash. What is remembered of conversations is known only here, and so is what a reader of
 * messages says of itself (`atHand`, `behind`).
 */
export function createTurnContexts(deps: {
  database: Database
  conversations: Pick<ConversationTurns, 'newest'>
  /** Milliseconds that only ever grow. */
  now: () => number
}) {
  const { database, conversations } = deps
  const remembered = createRememberedConversations(deps)

  const storedOf =
    (key: ConversationKey): ReadNewest =>
    (before, limit) =>
      conversations.newest(key, before, limit)

  async function summaryOf(conversation: ConversationForTurn): Promise<Summary | null> {
    return isSummarized(conversation) ? findSummary(database, keyOf(conversation)) : null
  }

  return {
    /** What the model is to be sent. */
    async of({ conversation, userMessage, standing }: Question): Promise<BuiltContext> {
      const summary = await summaryOf(conversation)
      const stored = storedOf(keyOf(conversation))
      const read = standing ? remembered.readFrom(conversation, standing, userMessage, stored) : stored
      return buildContext(conversation, read, userMessage.id, summary)
    },

    /** The same where all of it is in memory, so that nothing has to be waited for; else null. */
    atHand({ conversation, userMessage, standing }: Question): (() => Promise<BuiltContext>) | null {
      if (standing === null || isSummarized(conversation)) return null
      const stored = storedOf(keyOf(conversation))
      const read = remembered.readFrom(conversation, standing, userMessage, stored)
      return read === stored ? null : () => buildContext(conversation, read, userMessage.id, null)
    },

    /** What it would be sent if a turn that is not stored yet were the next. */
    async planned({ conversation, userMessage }: Omit<Question, 'standing'>, earlier: Earlier): Promise<Context> {
      const read = withNewest(userMessage, earlier)
      return (await buildContext(conversation, read, userMessage.id, await summaryOf(conversation))).context
    },

    /** What it was sent, as far as what is stored still tells: without the summary of that time. */
    async sentFor(conversation: ConversationForTurn, userMessageId: string): Promise<Context> {
      return (await buildContext(conversation, storedOf(keyOf(conversation)), userMessageId, null)).context
    },

    /** All messages that stand before a new one. */
    before: (key: ConversationKey, { id }: Pick<Message, 'id'>): Earlier => ({ read: storedOf(key), before: id }),

    /** A conversation as its last turn here has left it, which others may have changed. */
    recall: remembered.find,
    /** Keeps what a turn has left: the conversation as it stands now, and what was sent with the reply behind it. */
    remember: (conversation: ConversationForTurn, window: Window) => remembered.remember(conversation, window),
    forget: remembered.forget,
    forgetOldest: remembered.forgetOldest,
  }
}

const keyOf = ({ organizationId, id }: ConversationForTurn): ConversationKey => ({ organizationId, conversationId: id })

/** Reads as if `newest` stood behind what is stored already. */
function withNewest(newest: Message, { read, before }: Earlier): ReadNewest {
  return async (from, limit) => {
    if (from !== newest.id) return read(from, limit)
    const stored = await read(before, limit)
    return [newest, ...stored.filter(({ id }) => id !== before)]
  }
}

/** Messages that are not stored yet, to be read as if they were. */
export function readFrom(messages: readonly Message[]): ReadNewest {
  const newestFirst = messages.filter(({ role }) => role !== 'system').reverse()
  return async (before, limit) => newestFirst.filter(({ id }) => id <= before).slice(0, limit)
}

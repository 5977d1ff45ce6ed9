import type { ConversationKey } from '../../../lib/conversation-key.ts'
import { successorOf } from '../../../lib/ids.ts'
import type { Database, Statement } from '../../../storage/database.ts'
import type { Conversation, ConversationForTurn, Message, Standing } from '../conversation.ts'
import { type Found, findConversationForTurn, replaceMadeName } from '../conversation-queries.ts'
import type { ArchivedMessages } from '../for-archive/archived-messages.ts'
import {
  deleteReplaced,
  findLastUserMessage,
  findMessage,
  findMessagesBefore,
  findReplacedMessage,
  insertMessage,
  keepReplaced,
  leaveOutUnanswered,
  setLeftOut,
} from '../message-queries.ts'
import {
  discountMessages,
  openConversationAsSeen,
  openConversationForMessage,
  reserveLastMessage,
  settleConversation,
} from './talk-queries.ts'

/** How far a conversation had come when it was looked at. */
/** What a run leaves behind in its conversation. */
export type Outcome = {
  messages: readonly Message[]
  promptTokens: number
  completionTokens: number
  /** A name for a conversation that has none. */
  name: string | null
}
export type ConversationTurns = ReturnType<typeof createConversationTurns>

/** The guard that stands in the batch of {@link createConversationTurns}' `takeMessage`. */
export const CONVERSATION_IS_OPEN = 'conversation_is_open'

/** The side of conversations that turns work with: statements for their batches, and the newest messages. */
export function createConversationTurns(deps: {
  database: Database
  archive: Pick<ArchivedMessages, 'find' | 'olderThan'>
}) {
  const { database, archive } = deps
  return {
    find: (key: ConversationKey): Promise<Found<ConversationForTurn> | undefined> =>
      findConversationForTurn(database, { organizationId: key.organizationId, id: key.conversationId }),

    /**
     * Stores a user's message. The first statement is guarded: it fails when the conversation has been deleted or
     * closed, or has a message newer than this one; with `seen`, when it does not stand like that any more.
     */
    takeMessage(key: ConversationKey, message: Message, replyMessageId: string, seen: Standing | null): Statement[] {
      const change = {
        organizationId: key.organizationId,
        id: key.conversationId,
        userMessageId: message.id,
        lastMessageId: replyMessageId,
      }
      const open =
        seen === null
          ? openConversationForMessage(database, change)
          : openConversationAsSeen(database, {
              ...change,
              seenLast: seen.lastMessageId,
              seenCount: seen.messageCount,
              seenName: seen.name,
            })
      return [open, insertMessage(database, key, message)]
    },

    /**
     * Keeps `replyMessageId` free for the newest message. Guarded: it fails when the conversation is closed, or its
     * newest message is not `seen` any more.
     */
    reserveReply: (key: ConversationKey, seen: string | null, replyMessageId: string | null): Statement =>
      reserveLastMessage(database, {
        organizationId: key.organizationId,
        id: key.conversationId,
        seen,
        lastMessageId: replyMessageId,
      }),

    /** Takes messages out of the conversation and keeps them beside it. */
    replaceMessages(
      key: ConversationKey,
      replaced: { from: string; before: string; by: string; at: number },
    ): Statement[] {
      const { organizationId, conversationId } = key
      const { from, before, by, at } = replaced
      return [
        discountMessages(database, { organizationId, id: conversationId, from, before }),
        keepReplaced(database, { organizationId, conversationId, from, before, by, at }),
        deleteReplaced(database, { organizationId, conversationId, from, before }),
      ]
    },

    /** Stores messages that are not a reply, such as the results of calls. They cost nothing. */
    addMessages: (key: ConversationKey, messages: readonly Message[]): Statement[] => [
      settleConversation(database, {
        organizationId: key.organizationId,
        id: key.conversationId,
        messages: messages.length,
        promptTokens: 0,
        completionTokens: 0,
        name: null,
      }),
      ...messages.map((message) => insertMessage(database, key, message)),
    ],

    /** Later turns go without these messages, or with them again. */
    leaveOut: (key: ConversationKey, messages: { from: string; to: string; why: 'refused' | null }): Statement =>
      setLeftOut(database, { ...key, ...messages }),

    /** The same of a question and of what its run has stored, unless it has been answered before. */
    leaveOutQuestion: (key: ConversationKey, run: { from: string; to: string; runId: string }): Statement =>
      leaveOutUnanswered(database, { ...key, ...run }),

    lastUserMessage: (key: ConversationKey): Promise<Message | undefined> => findLastUserMessage(database, key),

    /** One that is not in the archive. */
    findInTalk: (key: ConversationKey, id: string): Promise<Message | undefined> =>
      findMessage(database, { ...key, id }),

    /** Also in the archive. Throws 503 when that cannot be read. */
    findMessage: async (key: ConversationKey, id: string): Promise<Message | undefined> =>
      (await findMessage(database, { ...key, id })) ?? (await archive.find(key, id)),

    /** A message of the conversation, also when another has taken its place. */
    findMessageOrReplaced: async (key: ConversationKey, id: string): Promise<Message | undefined> =>
      (await findMessage(database, { ...key, id })) ??
      (await findReplacedMessage(database, { ...key, id })) ??
      (await archive.find(key, id)),

    /** Stores what a run has produced and adds what it cost. */
    settle(key: ConversationKey, outcome: Outcome): Statement[] {
      const settled = settleConversation(database, {
        organizationId: key.organizationId,
        id: key.conversationId,
        messages: outcome.messages.length,
        promptTokens: outcome.promptTokens,
        completionTokens: outcome.completionTokens,
        name: outcome.name,
      })
      return [settled, ...outcome.messages.map((message) => insertMessage(database, key, message))]
    },

    /**
     * Puts `name` in the place of the name `made`, if that is still the one it has; null leaves it. Guarded: it fails when
     * the conversation is deleted.
     */
    replaceMadeName: (key: ConversationKey, made: string | null, name: string | null): Statement =>
      replaceMadeName(database, { organizationId: key.organizationId, id: key.conversationId, made, name }),

    /** Up to `limit` messages from `before` back, newest first, without the system's; archived ones where they are needed. */
    async newest(key: ConversationKey, before: string, limit: number): Promise<Message[]> {
      const { messages, hasArchive } = await findMessagesBefore(database, key, before, limit)
      if (messages.length === limit || (messages.length > 0 && !hasArchive)) return messages
      return [
        ...messages,
        ...(await archive.olderThan(key, messages.at(-1)?.id ?? successorOf(before), limit - messages.length)),
      ]
    },
  }
}

/** Whether messages may be added. */
export function isOpen(found: Found<Conversation>): boolean {
  return !found.isDeleted && found.conversation.isActive
}

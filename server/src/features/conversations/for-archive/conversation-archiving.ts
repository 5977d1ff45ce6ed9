import type { ConversationKey } from '../../../lib/conversation-key.ts'
import type { Database, Statement } from '../../../storage/database.ts'
import type { Message } from '../conversation.ts'
import { findConversation } from '../conversation-queries.ts'
import { findLastUserMessage, findMessage, findPieceAfter } from '../message-queries.ts'
import { NEWEST_MESSAGES } from './archived-messages.ts'
import {
  countArchived,
  deleteArchived,
  findBoundary,
  findOldest,
  findStored,
  type StoredConversation,
} from './archiving-queries.ts'

export type { StoredConversation }
export type ConversationArchiving = ReturnType<typeof createConversationArchiving>

/** How many messages are read at once. */
const PAGE = 200

/** The side of conversations that the archive works with: which messages may go, and the statements that take them away. */
export function createConversationArchiving(deps: { database: Database }) {
  const { database } = deps

  return {
    /** Up to `limit` conversations of all organizations, deleted ones included, behind `after`. */
    page: (after: ConversationKey | null, limit: number): Promise<StoredConversation[]> =>
      findStored(database, after, limit),

    /** How many messages of a conversation are archived; undefined when it is not there, or deleted. */
    async archivedCount({ organizationId, conversationId }: ConversationKey): Promise<number | undefined> {
      const found = await findConversation(database, { organizationId, id: conversationId })
      return found && !found.isDeleted ? found.conversation.archivedCount : undefined
    },

    /**
     * The oldest messages that may be archived, in order: up to `most`, and about `mostBytes` of text. The newest stay,
     * and so does everything from the last message of a user on, and from `openMessageId` on, the oldest message that is
     * still to be answered: only there a turn adds and takes away.
     */
    async movable(
      key: ConversationKey,
      openMessageId: string | null,
      limits: { most: number; mostBytes: number },
    ): Promise<Message[]> {
      const lastOfUser = (await findLastUserMessage(database, key))?.id ?? null
      const until = [lastOfUser, openMessageId].filter((id) => id !== null).toSorted()[0] ?? null
      const before = await findBoundary(database, key, until, NEWEST_MESSAGES - 1)
      if (before === undefined) return []
      const taken: Message[] = []
      for (let bytes = 0; ; ) {
        const limit = Math.min(PAGE, limits.most - taken.length)
        const page = await findOldest(database, key, { after: taken.at(-1)?.id ?? null, before, limit })
        for (const message of page) {
          taken.push(message)
          bytes += Buffer.byteLength(message.content)
          if (bytes >= limits.mostBytes) return taken
        }
        if (page.length < limit || taken.length === limits.most) return taken
      }
    },

    /**
     * The statements that take these messages, in order and without gaps, out of the conversation's rows. Guarded: they
     * fail when the conversation is deleted, has more or fewer messages in this range, or more archived than `seen`.
     */
    moveOut(key: ConversationKey, messages: readonly Message[], seen: number): Statement[] {
      const range = { first: messages[0]?.id ?? '', last: messages.at(-1)?.id ?? '', count: messages.length }
      return [
        countArchived(database, { ...key, seen, count: messages.length }),
        deleteArchived(database, { ...key, ...range }),
      ]
    },

    /** The next messages behind `after` that are not archived, as many as are read at once; and whether they are the last. */
    pieceAfter: (key: ConversationKey, after: string): Promise<{ messages: Message[]; isLast: boolean }> =>
      findPieceAfter(database, key, after),

    /** The system message, which is never archived. */
    async systemMessage({ organizationId, conversationId }: ConversationKey): Promise<Message | undefined> {
      const id = (await findConversation(database, { organizationId, id: conversationId }))?.conversation
        .systemMessageId
      return id ? findMessage(database, { organizationId, conversationId, id }) : undefined
    },
  }
}

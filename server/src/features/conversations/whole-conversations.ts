import type { Database } from '../../storage/database.ts'
import type { Conversation, Message } from './conversation.ts'
import {
  findConversationsOfUser,
  findReplacedAfter,
  type ReplacedMessage,
  type WholeConversation,
} from './whole-queries.ts'

export type WholeConversations = ReturnType<typeof createWholeConversations>
/** Every message of a conversation in order, archived or not, in pieces. */
export type Transcript = (key: { organizationId: string; conversationId: string }) => AsyncIterable<readonly Message[]>

const CONVERSATIONS_A_PAGE = 50
/** A message may have 100,000 characters: this many are 40 MB at worst, and 0.2 MB as a rule. */
const MESSAGES_A_PAGE = 200

/** Everything that there is of conversations, page by page: however long they are, one page is in memory. */
export function createWholeConversations(deps: { database: Database; transcript: Transcript }) {
  const { database, transcript } = deps
  const keyOf = ({ organizationId, id }: Conversation) => ({ organizationId, conversationId: id })

  return {
    /** All conversations of a user, deleted ones too, oldest first. */
    ofUser: (organizationId: string, externalUserId: string): AsyncGenerator<WholeConversation[], undefined> =>
      pages(
        CONVERSATIONS_A_PAGE,
        (page) => findConversationsOfUser(database, { organizationId, externalUserId }, page),
        ({ conversation }) => conversation.id,
      ),

    /** All messages of a conversation in order, the system message included. */
    messagesOf: (conversation: Conversation): AsyncIterable<readonly Message[]> => transcript(keyOf(conversation)),

    /** The messages that others have taken the place of. */
    replacedOf: (conversation: Conversation): AsyncGenerator<ReplacedMessage[]> =>
      pages(
        MESSAGES_A_PAGE,
        (page) => findReplacedAfter(database, keyOf(conversation), page),
        ({ message }) => message.id,
      ),
  }
}

/** Reads page after page, each behind the last row of the one before, until one is not full. */
async function* pages<T>(
  limit: number,
  read: (page: { after: string | null; limit: number }) => Promise<T[]>,
  idOf: (row: T) => string,
): AsyncGenerator<T[], undefined> {
  for (let after: string | null = null; ; ) {
    const rows = await read({ after, limit })
    if (rows.length > 0) yield rows
    const last = rows.at(-1)
    if (last === undefined || rows.length < limit) return undefined
    after = idOf(last)
  }
}

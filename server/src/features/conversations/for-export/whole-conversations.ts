import { PIECE_BYTES } from '../../../http/answers/pieces.ts'
import type { ConversationKey } from '../../../lib/conversation-key.ts'
import { letOthersRun } from '../../../lib/fairness/let-others-run.ts'
import { cutBySize } from '../../../lib/text/cut-by-size.ts'
import type { Database } from '../../../storage/database.ts'
import type { Conversation, Message } from '../conversation.ts'
import {
  findReplaced,
  findWholeConversations,
  type Measured,
  measureConversationsOfUser,
  measureReplaced,
  type Page,
  type ReplacedMessage,
  type WholeConversation,
} from './whole-queries.ts'

export type WholeConversations = ReturnType<typeof createWholeConversations>
/** Every message of a conversation in order, archived or not, in pieces. */
export type Transcript = (key: ConversationKey) => AsyncIterable<readonly Message[]>

/** What is measured before it is read. */
const MEASURED = 100

/** Everything that there is of conversations, piece by piece: however long they are, one piece is in memory. */
export function createWholeConversations(deps: { database: Database; transcript: Transcript }) {
  const { database, transcript } = deps
  const keyOf = ({ organizationId, id }: Conversation) => ({ organizationId, conversationId: id })

  return {
    /** All conversations of a user, deleted ones too, oldest first. */
    ofUser: (organizationId: string, externalUserId: string): AsyncGenerator<WholeConversation[], undefined> =>
      pieces(
        (page) => measureConversationsOfUser(database, { organizationId, externalUserId }, page),
        (ids) => findWholeConversations(database, organizationId, ids),
      ),

    /** All messages of a conversation in order, the system message included. */
    messagesOf: (conversation: Conversation): AsyncIterable<readonly Message[]> => transcript(keyOf(conversation)),

    /** The messages that others have taken the place of. */
    replacedOf: (conversation: Conversation): AsyncGenerator<ReplacedMessage[]> =>
      pieces(
        (page) => measureReplaced(database, keyOf(conversation), page),
        (ids) => findReplaced(database, keyOf(conversation), ids),
      ),
  }
}

/** Reads in pieces what is measured page after page, each behind the last row of the one before, until one is not full. */
async function* pieces<T>(
  measure: (page: Page) => Promise<Measured[]>,
  read: (ids: readonly string[]) => Promise<T[]>,
): AsyncGenerator<T[], undefined> {
  for (let after: string | null = null; ; ) {
    const sizes = await measure({ after, limit: MEASURED })
    for (const piece of cutBySize(sizes, PIECE_BYTES, ({ bytes }) => bytes)) {
      yield await read(piece.map(({ id }) => id))
      await letOthersRun()
    }
    const last = sizes.at(-1)
    if (last === undefined || sizes.length < MEASURED) return undefined
    after = last.id
  }
}

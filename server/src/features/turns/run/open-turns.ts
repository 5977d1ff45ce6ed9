import type { ConversationKey } from '../../../lib/conversation-key.ts'
import type { Database } from '../../../storage/database.ts'
import { findOldestOpenMessage } from './open-turn-queries.ts'

export type OpenTurns = ReturnType<typeof createOpenTurns>

/** What may still change below a conversation's newest messages, for those that move the older ones. */
export function createOpenTurns(deps: { database: Database }) {
  return {
    /** The oldest message of a user that is still being answered, or waits for it; null when there is none. */
    oldestMessage: (key: ConversationKey): Promise<string | null> => findOldestOpenMessage(deps.database, key),
  }
}

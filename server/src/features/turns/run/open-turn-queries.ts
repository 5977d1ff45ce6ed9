import type { ConversationKey } from '../../../lib/conversation-key.ts'
import type { Database } from '../../../storage/database.ts'

/** The oldest message of a user that a run which has not ended is about. */
export async function findOldestOpenMessage(database: Database, key: ConversationKey): Promise<string | null> {
  const query = database.dialect.builder
    .selectFrom('run')
    .select('user_message_id')
    .where('organization_id', '=', key.organizationId)
    .where('conversation_id', '=', key.conversationId)
    .where('ended_at', 'is', null)
    .orderBy('user_message_id')
    .limit(1)
  return (await database.scan(query.compile(), key.organizationId))[0]?.user_message_id ?? null
}

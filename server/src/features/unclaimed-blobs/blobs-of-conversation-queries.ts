import type { ConversationKey } from '../../lib/conversation-key.ts'
import type { Database, Statement } from '../../storage/database.ts'
import { asColumn, type Parameters, prepareWrite } from '../../storage/prepare.ts'

/** Makes the statements that delete all rows a table has for a conversation, and doom the blobs that they name. */
export function discardBlobsOf(
  table: 'archive_segment' | 'attachment',
): (database: Database, key: ConversationKey & { now: number }) => Statement[] {
  const doom = prepareWrite((db, p: Parameters<ConversationKey & { now: number }>, { columnTypes }) =>
    db
      .insertInto('unclaimed_blob')
      .columns(['organization_id', 'blob_key', 'is_doomed', 'due_at'])
      .expression(
        db
          .selectFrom(table)
          .select([
            'organization_id',
            'blob_key',
            asColumn(1 as const, columnTypes.flag).as('is_doomed'),
            asColumn(p('now'), columnTypes.time).as('due_at'),
          ])
          .where('organization_id', '=', p('organizationId'))
          .where('conversation_id', '=', p('conversationId')),
      ),
  )
  const remove = prepareWrite((db, p: Parameters<ConversationKey>) =>
    db
      .deleteFrom(table)
      .where('organization_id', '=', p('organizationId'))
      .where('conversation_id', '=', p('conversationId')),
  )
  return (database, key) => [doom(database, key), remove(database, key)]
}

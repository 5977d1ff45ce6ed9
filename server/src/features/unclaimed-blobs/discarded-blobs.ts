import type { Database, Statement } from '../../storage/database.ts'
import { discardBlobsOf } from './blobs-of-conversation-queries.ts'

const BY_TABLE = { archive_segment: discardBlobsOf('archive_segment'), attachment: discardBlobsOf('attachment') }

/** The statements that delete all rows a table has for a conversation. The blobs that they name go soon after. */
export function discardBlobs(
  database: Database,
  table: keyof typeof BY_TABLE,
  key: { organizationId: string; conversationId: string; now: number },
): Statement[] {
  return BY_TABLE[table](database, key)
}

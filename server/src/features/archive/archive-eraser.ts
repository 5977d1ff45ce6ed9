import type { BlobStore } from '../../blobs/blob-store.ts'
import type { Clock } from '../../lib/clock.ts'
import type { Database } from '../../storage/database.ts'
import type { ArchivedMessages } from '../conversations/for-archive/archived-messages.ts'
import { createBlobSweeper } from '../unclaimed-blobs/blob-sweeper.ts'
import { prefixOf } from './segment.ts'

/**
 * Takes everything of these conversations out of the archive, and resolves when the blobs are gone: those of segments,
 * and those that are only being written. Throws `BlobError` when the store cannot be used; it may be called again.
 */
export function createArchiveEraser(deps: {
  database: Database
  blobs: BlobStore
  clock: Clock
  archive: Pick<ArchivedMessages, 'discard'>
}): (organizationId: string, conversationIds: readonly string[]) => Promise<void> {
  const { database, blobs, archive } = deps
  const sweeper = createBlobSweeper(deps)
  return async (organizationId, conversationIds) => {
    const keys = conversationIds.map((conversationId) => ({ organizationId, conversationId }))
    await database.write(keys.flatMap((key) => archive.discard(key)))
    await sweeper.sweep()
    for (const key of keys) await blobs.deletePrefix(prefixOf(key))
  }
}

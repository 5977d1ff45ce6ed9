import type { BlobStore } from '../../blobs/blob-store.ts'
import type { Clock } from '../../lib/clock.ts'
import type { Database } from '../../storage/database.ts'
import { createBlobSweeper } from '../unclaimed-blobs/blob-sweeper.ts'
import { type AttachmentService, prefixOf } from './attachment-service.ts'

/**
 * Deletes the files of these conversations, and resolves when the blobs are gone, those that are only being written too.
 * Throws `BlobError` when the store cannot be used; it may be called again.
 */
export function createAttachmentEraser(deps: {
  database: Database
  blobs: BlobStore
  clock: Clock
  attachments: Pick<AttachmentService, 'discard'>
}): (organizationId: string, conversationIds: readonly string[]) => Promise<void> {
  const { database, blobs, attachments } = deps
  const sweeper = createBlobSweeper(deps)
  return async (organizationId, conversationIds) => {
    const keys = conversationIds.map((conversationId) => ({ organizationId, conversationId }))
    await database.write(keys.flatMap((key) => attachments.discard(key)))
    await sweeper.sweep()
    for (const key of keys) await blobs.deletePrefix(prefixOf(key))
  }
}

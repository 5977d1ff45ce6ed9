import type { BlobStore } from '../../blobs/blob-store.ts'
import type { Clock } from '../../lib/clock.ts'
import type { ConversationKey } from '../../lib/conversation-key.ts'
import type { Database, Statement } from '../../storage/database.ts'
import { createBlobSweeper } from './blob-sweeper.ts'

/** Takes away what a feature keeps of conversations outside the database. May be called again for the same ones. */
export type Eraser = (organizationId: string, conversationIds: readonly string[]) => Promise<void>

/**
 * Deletes the blobs of conversations, and resolves when they are gone, those that are only being written too. `discard`
 * gives the statements that give up what is recorded of them. Throws `BlobError` when the store cannot be used.
 */
export function createBlobEraser(deps: {
  database: Database
  blobs: BlobStore
  clock: Clock
  discard: (key: ConversationKey) => Statement[]
  prefixOf: (key: ConversationKey) => string
}): Eraser {
  const { database, blobs, discard, prefixOf } = deps
  const sweeper = createBlobSweeper(deps)
  return async (organizationId, conversationIds) => {
    const keys = conversationIds.map((conversationId) => ({ organizationId, conversationId }))
    await database.write(keys.flatMap(discard))
    await sweeper.sweep()
    for (const key of keys) await blobs.deletePrefix(prefixOf(key))
  }
}

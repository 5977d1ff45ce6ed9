import type { BlobStore } from '../../blobs/blob-store.ts'
import type { Clock } from '../../lib/clock.ts'
import type { Database } from '../../storage/database.ts'
import { doomDueBlobs, forgetBlob, selectDoomed, type UnclaimedBlob } from './unclaimed-blob-queries.ts'

export type BlobSweeper = ReturnType<typeof createBlobSweeper>

const SWEPT_AT_ONCE = 100

/**
 * Deletes blobs that belong to nothing: those of deleted conversations, and those whose writer died before it had
 * claimed them. A blob is doomed first, which keeps a writer that was only slow from claiming it.
 */
export function createBlobSweeper(deps: { database: Database; blobs: Pick<BlobStore, 'delete'>; clock: Clock }) {
  const { database, blobs, clock } = deps

  /** Deletes a blob that nobody can claim any more, and forgets it. */
  async function remove(blob: UnclaimedBlob): Promise<void> {
    await blobs.delete(blob.blobKey)
    await database.write([forgetBlob(database, blob)])
  }

  return {
    remove,

    /** Deletes everything that is to be deleted; says how many blobs that were. Throws what the store throws. */
    async sweep(): Promise<number> {
      await database.write([doomDueBlobs(database, { now: clock() })])
      for (let swept = 0; ; ) {
        const doomed = await selectDoomed(database, { limit: SWEPT_AT_ONCE })
        for (const blob of doomed) await remove(blob)
        swept += doomed.length
        if (doomed.length < SWEPT_AT_ONCE) return swept
      }
    },
  }
}

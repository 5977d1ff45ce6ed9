import type { BlobMetadata, BlobStore } from '../../blobs/blob-store.ts'
import type { Clock } from '../../lib/clock.ts'
import type { Database, Statement } from '../../storage/database.ts'
import { createBlobSweeper } from './blob-sweeper.ts'
import { announceBlob, claimBlob, doomBlob, type UnclaimedBlob } from './unclaimed-blob-queries.ts'

export type BlobClaims = ReturnType<typeof createBlobClaims>

/** The guard that stands in the batch of {@link createBlobClaims}' `claim`. */
export const BLOB_IS_UNCLAIMED = 'blob_is_unclaimed'

/** Milliseconds that writing a blob and what claims it may take before the blob counts as left behind. */
const CLAIM_MS = 3_600_000

/** Writes blobs so that none is left over: until something that is stored claims a blob, it is known as nobody's. */
export function createBlobClaims(deps: { database: Database; blobs: Pick<BlobStore, 'put' | 'delete'>; clock: Clock }) {
  const { database, blobs, clock } = deps
  const sweeper = createBlobSweeper(deps)

  return {
    /** Stores a blob that belongs to nothing yet, and is swept after an hour unless it is claimed. */
    async put(blob: UnclaimedBlob, bytes: Uint8Array, metadata: BlobMetadata): Promise<void> {
      await database.write([announceBlob(database, { ...blob, dueAt: clock() + CLAIM_MS })])
      await blobs.put(blob.blobKey, bytes, metadata)
    },

    /** Claims a blob for what is written in the same batch. Guarded: it fails when the blob is to be deleted. */
    claim: (blob: UnclaimedBlob): Statement => claimBlob(database, blob),

    /** Gives a blob up whose owner goes in the same batch; it is swept soon. */
    release: (blob: UnclaimedBlob): Statement => announceBlob(database, { ...blob, dueAt: clock() }),

    /** Deletes a blob that nothing has claimed. */
    async drop(blob: UnclaimedBlob): Promise<void> {
      await database.write([doomBlob(database, blob)])
      await sweeper.remove(blob)
    },
  }
}

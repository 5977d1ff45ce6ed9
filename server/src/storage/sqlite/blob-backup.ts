import { StorageError } from '../database.ts'
import {
  type BackupRequest,
  checkRestore,
  checkTarget,
  copyDatabase,
  partialOf,
  publish,
  type RestoreRequest,
  removePartial,
  restoreSqlite,
  sync,
} from './backup.ts'
import { inspectSqlite } from './inspect.ts'
import { type KeptBlob, keepBlobs, namedBlobs, readKeptBlobs } from './kept-blobs.ts'

/** How often the database is copied anew because blobs of the last copy have been deleted meanwhile. */
const MOST_COPIES = 10

export type BlobBackup = {
  bytes: number
  blobs: number
  /** Keys of blobs that the database names and the store does not have, or has damaged: they are not in the backup. */
  lost: string[]
}

/**
 * As `backupSqlite`, with the blobs in the same file: exactly those that belong to what the database held at one moment. A blob
 * is never changed, so copying them afterwards gives the same; when one was deleted in the meantime, with what it belonged
 * to, a later moment is taken, and those that were copied stay. Throws what `readBlob` throws.
 */
export async function backupWithBlobs({
  readBlob,
  ...request
}: BackupRequest & { readBlob: (key: string) => Promise<Uint8Array | null> }): Promise<BlobBackup> {
  checkTarget(request)
  const { file, target } = request
  let former: string | null = null
  for (let copies = 1; ; copies++) {
    const partial = partialOf(target)
    let isFinal = true
    try {
      copyDatabase(file, partial)
      const named = namedBlobs(partial)
      const lost = (await keepBlobs(partial, named, readBlob, former)).map(({ key }) => key)
      isFinal = lost.length === 0 || copies === MOST_COPIES || areNamedIn(file, lost)
      if (isFinal) {
        checkWhole(partial)
        return { ...publish(partial, target), blobs: named.length - lost.length, lost }
      }
    } finally {
      if (former !== null) removePartial(former)
      if (isFinal) removePartial(partial)
    }
    former = partial
  }
}

function areNamedIn(file: string, keys: readonly string[]): boolean {
  const named = new Set(namedBlobs(file).map(({ key }) => key))
  return keys.every((key) => named.has(key))
}

function checkWhole(partial: string): void {
  const { damage } = inspectSqlite(partial)
  if (damage !== null) throw new StorageError(`the copy ${partial} is damaged (${damage}): nothing was changed`)
  sync(partial)
}

export type BlobRestore = ReturnType<typeof restoreSqlite> & { blobs: number | null }

/**
 * As `restoreSqlite`; the blobs of the backup are given to `putBlob` before, so that a database is never there without
 * them. `blobs` is their number; null for a backup without. Throws what `putBlob` throws.
 */
export async function restoreWithBlobs({
  putBlob,
  ...request
}: RestoreRequest & { putBlob: (blob: KeptBlob) => Promise<void> }): Promise<BlobRestore> {
  checkRestore(request)
  const blobs = await readKeptBlobs(request.source, putBlob)
  return { ...restoreSqlite(request), blobs }
}

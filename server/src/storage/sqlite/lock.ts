import { DatabaseSync } from 'node:sqlite'
import { makePrivateFile } from '../../lib/process/private-files.ts'
import { StorageError } from '../database.ts'

export type ServerLock = {
  /** The last owner died or was killed: it never released the lock. */
  wasUnclean: boolean
  release(): void
  releaseAsUnclean(): void
}

/**
 * Makes this process the only server of a SQLite file. The lock is SQLite's own, on a small file beside the database:
 * the operating system lets go of it when the process ends, however it ends, so there is never a stale one. The small
 * file's `user_version` is 1 while an owner lives. Throws {@link StorageError} when there is another owner.
 */
export function acquireServerLock(file: string): ServerLock {
  makePrivateFile(`${file}.lock`)
  const lock = new DatabaseSync(`${file}.lock`, { timeout: 0 })
  let wasUnclean: boolean
  try {
    lock.exec('pragma journal_mode = delete; pragma locking_mode = exclusive; begin exclusive')
    const row = lock.prepare('pragma user_version').get() as { user_version: number }
    wasUnclean = row.user_version === 1
    // In the exclusive locking mode the lock that this write takes is kept until the connection is closed.
    lock.exec('pragma user_version = 1; commit')
  } catch (error) {
    lock.close()
    const isHeld = error instanceof Error && /locked|busy/.test(error.message)
    if (!isHeld) throw error
    throw new StorageError(
      `another Dramatis server is using ${file}: stop it, give this one another DRAMATIS_DATA_DIR, or use PostgreSQL`,
    )
  }
  return {
    wasUnclean,
    release() {
      lock.exec('pragma user_version = 0')
      lock.close()
    },
    releaseAsUnclean: () => lock.close(),
  }
}

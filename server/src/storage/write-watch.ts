import type { DiskObstacle } from '../lib/process/disk.ts'
import { type Statement, StorageError } from './database.ts'

/** Rewrites a row as it is: on every database, and the smallest thing that really has to be stored. */
const TRIED: readonly Statement[] = [{ sql: 'update migration set name = name where number = 1', parameters: [] }]

/** Remembers that a write has failed because of the disk, until one has worked. Nothing is done for writes that work. */
export type WriteWatch = {
  /** Takes note of a failure, whatever it is. */
  failed(error: unknown): void
  /** The obstacle, if there still is one. */
  findObstacle(): Promise<DiskObstacle | null>
}

/** `look` says what can be seen of the disk without a write; it is told whether one has failed. */
export function createWriteWatch(
  write: (batch: readonly Statement[]) => Promise<unknown>,
  look: (isSuspect: boolean) => Promise<DiskObstacle | null> = async () => null,
): WriteWatch {
  let last: DiskObstacle | null = null
  return {
    failed(error) {
      if (error instanceof StorageError && error.obstacle !== null) last = error.obstacle
    },
    async findObstacle() {
      const seen = await look(last !== null)
      if (seen !== null || last === null) return seen
      try {
        await write(TRIED)
        last = null
      } catch (error) {
        if (!(error instanceof StorageError)) throw error
      }
      return last
    },
  }
}

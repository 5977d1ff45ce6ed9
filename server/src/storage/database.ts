import type { CompiledQuery } from 'kysely'
import { AppError } from '../errors.ts'
import { type DiskObstacle, describeDiskObstacle } from '../lib/process/disk.ts'
import type { Dialect } from './dialect.ts'
import type { Schema } from './schema.ts'

export type SqlValue = string | number | null

/** A compiled write. With a `guard`, a statement that touches no row undoes its whole batch. */
export type Statement = {
  sql: string
  parameters: readonly SqlValue[]
  guard?: string
  /**
   * It neither reads nor writes rows that the independent ones beside it in a batch write, and what it reads may be as it
   * was before the first of them had its locks: so it may be carried out together with them.
   */
  isIndependent?: boolean
}

/**
 * An open database. Reads are single queries; writes are batches, all or nothing, with no reads in between.
 * Every method throws {@link StorageError} when the database cannot be used at the moment.
 */
export type Database = {
  dialect: Dialect
  /** A read of few rows by key. */
  read<Row>(query: CompiledQuery<Row>): Promise<Row[]>
  /**
   * A read of many rows: kept away from the thread that streams. There are few at a time, and organizations take turns.
   */
  scan<Row>(query: CompiledQuery<Row>, organizationId: string): Promise<Row[]>
  /**
   * Applies a batch and resolves once it is durable, with the number of rows each statement touched.
   * Throws {@link WriteConflict} when a unique constraint or a guard was violated; then nothing was written.
   */
  write(batch: readonly Statement[]): Promise<number[]>
  /**
   * Takes what was deleted out of the files too, as far as that is in our hands: in SQLite's the gaps are overwritten
   * between the writes of others, PostgreSQL's given tables are rewritten, which locks them and is done at most a small
   * part of the time: then this waits, until the signal if there is one. All who ask before it is done share it. Throws {@link StorageError} when it could
   * not be done.
   */
  scrub(tables: readonly (keyof Schema)[], signal?: AbortSignal): Promise<void>
  /** What keeps it from being written, as far as its disk is to blame; tries a write only after one has failed. */
  findObstacle(): Promise<DiskObstacle | null>
  close(): Promise<void>
}

/** Nothing was written, because a constraint or a guard with this name stood against it. */
export class WriteConflict extends Error {
  readonly constraint: string

  constructor(constraint: string) {
    super(`the write conflicts with ${constraint}`)
    this.name = 'WriteConflict'
    this.constraint = constraint
  }
}

/** The database cannot be used: gone, full, read-only, locked or damaged. The message says which, in words for an operator. */
export class StorageError extends Error {
  /** What the disk has to do with it; null when it is something else. */
  readonly obstacle: DiskObstacle | null

  constructor(
    message: string,
    { obstacle = null, ...options }: ErrorOptions & { obstacle?: DiskObstacle | null } = {},
  ) {
    super(message, options)
    this.name = 'StorageError'
    this.obstacle = obstacle
  }

  /** A caller learns that it is worth trying again, whom to tell, and nothing about files and servers. */
  toAppError(): AppError {
    const what =
      this.obstacle === null
        ? 'the database cannot be used at the moment'
        : describeDiskObstacle(this.obstacle, 'the database')
    return new AppError('unavailable', what, {
      cause: this,
      retryAfterMs: 1_000,
    })
  }
}

/** How often a change starts over when others keep coming in between; each time at least one of them has succeeded. */
const MOST_ATTEMPTS = 50

/**
 * Runs a change that reads and then writes under the guard `guard`, again from the start as long as another write has
 * come in between. Throws 409 when that does not end.
 */
export async function untilUndisturbed<T>(guard: string, change: () => Promise<T>): Promise<T> {
  for (let attempt = 0; attempt < MOST_ATTEMPTS; attempt++) {
    try {
      return await change()
    } catch (error) {
      if (!(error instanceof WriteConflict) || error.constraint !== guard) throw error
    }
  }
  throw new AppError('conflict', 'too many changes at once, try again')
}

/** False when nothing was written, because a constraint or a guard stood against it. */
export async function tryWrite(database: Pick<Database, 'write'>, batch: readonly Statement[]): Promise<boolean> {
  try {
    await database.write(batch)
    return true
  } catch (error) {
    if (error instanceof WriteConflict) return false
    throw error
  }
}

/** Runs `write`, and gives `onConflict` the chance to say what the violated constraint or guard stands for. */
export async function writeOr(
  database: Database,
  batch: readonly Statement[],
  onConflict: (constraint: string) => Error | undefined,
): Promise<number[]> {
  try {
    return await database.write(batch)
  } catch (error) {
    if (error instanceof WriteConflict) throw onConflict(error.constraint) ?? error
    throw error
  }
}

import type { Database } from './database.ts'
import { withFairScans } from './fair-scans.ts'

/** Where the data is. */
export type DatabaseLocation =
  | { kind: 'sqlite'; file: string }
  /** `pool` is the number of connections, 16 by default; `prepared` is found out by default. */
  | { kind: 'postgres'; url: string; pool?: number; prepared?: boolean }

export type OpenOptions = {
  /** True for the one process that serves a SQLite file; a command line beside it passes false. */
  asServer: boolean
  log: (message: string) => void
}

/**
 * Opens and migrates the database at `location`; loads only what that kind needs. Throws `StorageError` with a sentence
 * for the operator when it cannot.
 */
export async function openDatabase(location: DatabaseLocation, options: OpenOptions): Promise<Database> {
  if (location.kind === 'sqlite') {
    const { openSqlite } = await import('./sqlite/sqlite.ts')
    // One thread reads, so one at a time.
    return withFairScans(await openSqlite({ file: location.file, ...options }), { atOnce: 1, atOnceEach: [1] })
  }
  const { DEFAULT_POOL, openPostgres } = await import('./postgres/postgres.ts')
  const { kind: _, pool = DEFAULT_POOL, ...where } = location
  // Half of the connections are for what is short.
  const atOnce = Math.floor(pool / 2)
  const database = await openPostgres({ ...where, pool, log: options.log })
  return withFairScans(database, { atOnce, atOnceEach: [Math.ceil(atOnce / 2)] })
}

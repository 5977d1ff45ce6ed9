import type { Database } from './database.ts'
import { withFairScans } from './fair-scans.ts'

/** Where the data is. */
export type DatabaseLocation = { kind: 'sqlite'; file: string } | { kind: 'postgres'; url: string }

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
    const { openSqlite } = await import('./sqlite.ts')
    // One thread reads, so one at a time.
    return withFairScans(await openSqlite({ file: location.file, ...options }), { atOnce: 1, atOnceEach: 1 })
  }
  const { openPostgres } = await import('./postgres.ts')
  // Of its 16 connections half are for what is short.
  return withFairScans(await openPostgres({ url: location.url, log: options.log }), { atOnce: 8, atOnceEach: 4 })
}

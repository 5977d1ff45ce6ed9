import type { Database } from './database.ts'
import { openPostgres } from './postgres.ts'
import { openSqlite } from './sqlite.ts'

/** Where the data is. */
export type DatabaseLocation = { kind: 'sqlite'; file: string } | { kind: 'postgres'; url: string }

export type OpenOptions = {
  /** True for the one process that serves a SQLite file; a command line beside it passes false. */
  asServer: boolean
  log: (message: string) => void
}

/** Opens and migrates the database at `location`. Throws `StorageError` with a sentence for the operator when it cannot. */
export function openDatabase(location: DatabaseLocation, options: OpenOptions): Promise<Database> {
  return location.kind === 'sqlite'
    ? openSqlite({ file: location.file, ...options })
    : openPostgres({ url: location.url, log: options.log })
}

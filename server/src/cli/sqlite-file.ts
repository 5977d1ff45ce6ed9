import { Failure, type Io } from './command.ts'
import { readSettings } from './settings.ts'

/** The configured SQLite file. On PostgreSQL a {@link Failure} that names the tool which is meant for the purpose. */
export function requireSqliteFile(io: Io, tool: string): string {
  const { database } = readSettings(io)
  if (database.kind === 'sqlite') return database.file
  throw new Failure(`the data is in PostgreSQL: use ${tool}, which comes with it`)
}

/** A size as people read it. */
export function formatBytes(bytes: number): string {
  const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB']
  const power = Math.min(units.length - 1, bytes < 1 ? 0 : Math.floor(Math.log2(bytes) / 10))
  return power === 0 ? `${bytes} bytes` : `${(bytes / 1024 ** power).toFixed(1)} ${units[power]}`
}

import { StorageError } from '../database.ts'
import type { ColumnTypes } from '../dialect.ts'
import { initial } from './0001-initial.ts'
import { tools } from './0002-tools.ts'
import { waitingByNode } from './0003-waiting-by-node.ts'

/** One numbered step of the schema. Once released it is never changed. */
export type Migration = { number: number; name: string; statements(types: ColumnTypes): string[] }

/** In order of their numbers, which have no gaps. */
export const migrations: readonly Migration[] = [
  { number: 1, name: 'initial', statements: initial },
  { number: 2, name: 'tools', statements: tools },
  { number: 3, name: 'waiting-by-node', statements: waitingByNode },
]

/** What is left to do on a database that has come as far as `applied`. Throws when a newer Dramatis has been here. */
export function pendingMigrations(applied: number): readonly Migration[] {
  const newest = migrations.length
  if (applied > newest) {
    throw new StorageError(
      `the database is at migration ${applied}, this version of Dramatis knows ${newest}: start the newer version`,
    )
  }
  return migrations.filter((migration) => migration.number > applied)
}

/** The table that remembers which have been applied. */
export function migrationTable(types: ColumnTypes): string {
  return `create table if not exists migration (
    number ${types.count} not null primary key, name text not null, applied_at ${types.time} not null)`
}

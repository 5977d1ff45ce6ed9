import { createHash } from 'node:crypto'
import { StorageError } from '../database.ts'
import type { ColumnTypes } from '../dialect.ts'
import { initial } from './0001-initial.ts'
import { tools } from './0002-tools.ts'
import { waitingByNode } from './0003-waiting-by-node.ts'
import { secretKeysAndWaitingCalls } from './0004-secret-keys-and-waiting-calls.ts'
import { leftOutMessages } from './0005-left-out-messages.ts'
import { thoughts } from './0006-thoughts.ts'

/** One numbered step of the schema. Once released it is never changed: a test pins what it does. */
export type Migration = { number: number; name: string; statements(types: ColumnTypes): string[] }

/** One that a database says it has had. Those before there were checksums have none. */
export type AppliedMigration = { number: number; name: string; checksum: string | null }

/** In order of their numbers, which have no gaps. */
export const migrations: readonly Migration[] = [
  { number: 1, name: 'initial', statements: initial },
  { number: 2, name: 'tools', statements: tools },
  { number: 3, name: 'waiting-by-node', statements: waitingByNode },
  { number: 4, name: 'secret-keys-and-waiting-calls', statements: secretKeysAndWaitingCalls },
  { number: 5, name: 'left-out-messages', statements: leftOutMessages },
  { number: 6, name: 'thoughts', statements: thoughts },
]

/** What a migration does on one kind of database, in 64 hexadecimal digits. */
export function checksumOf(migration: Migration, types: ColumnTypes): string {
  return createHash('sha256')
    .update(JSON.stringify(migration.statements(types)))
    .digest('hex')
}

/**
 * What is left to do on a database. Throws {@link StorageError} when a newer Dramatis has been here, or one that did
 * something else under the same number: whatever this version did then, it would do it to tables that it does not know.
 */
export function pendingMigrations(applied: readonly AppliedMigration[], types: ColumnTypes): readonly Migration[] {
  const newest = applied.at(-1)?.number ?? 0
  if (newest > migrations.length) {
    throw new StorageError(
      `the database is at migration ${newest}, this version of Dramatis knows ${migrations.length}: start the newer version`,
    )
  }
  const known = migrations.slice(0, newest)
  for (const migration of known) {
    const { number, name } = migration
    const found = applied.find((one) => one.number === number)
    const isSame = found?.name === name && (found.checksum === null || found.checksum === checksumOf(migration, types))
    if (!isSame) throw differs(`migration ${number} was ${found ? `another one ("${found.name}")` : 'never applied'}`)
  }
  return migrations.slice(newest)
}

/** What a database has in the place of what it should: tables or columns that are missing. Null when all are there. */
export function findMissing(
  actual: ReadonlyMap<string, ReadonlySet<string>>,
  expected: ReadonlyMap<string, ReadonlySet<string>>,
): string | null {
  for (const [table, columns] of expected) {
    const found = actual.get(table)
    if (!found) return `the table ${table} is missing`
    const missing = [...columns].filter((column) => !found.has(column))
    if (missing.length > 0) return `the table ${table} lacks ${missing.join(', ')}`
  }
  return null
}

/** The error for a database that is not what its list of migrations says. */
export function differs(how: string): StorageError {
  return new StorageError(
    `the database was made by a version of Dramatis that this one cannot go on from (${how}): ` +
      'start the version that made it, or restore a backup',
  )
}

/**
 * The tables that remember which have been applied, and what they did. Two, because earlier versions know the first as it
 * is, and look into it to see that a newer one has been here.
 */
export function migrationTables(types: ColumnTypes): string[] {
  return [
    `create table if not exists migration (
      number ${types.count} not null primary key, name text not null, applied_at ${types.time} not null)`,
    `create table if not exists migration_checksum (
      number ${types.count} not null primary key, checksum text not null)`,
  ]
}

/** What a database says has been done to it, in order. Without `hasChecksums` it is one of an earlier version. */
export function selectApplied(hasChecksums: boolean): string {
  return hasChecksums
    ? `select migration.number, name, checksum from migration
       left join migration_checksum on migration_checksum.number = migration.number order by migration.number`
    : 'select number, name, null as checksum from migration order by number'
}

/** The checksums that are missing. */
export function unsigned(
  applied: readonly AppliedMigration[],
  types: ColumnTypes,
): { number: number; checksum: string }[] {
  return migrations
    .filter(({ number }) => applied[number - 1]?.checksum === null)
    .map((migration) => ({ number: migration.number, checksum: checksumOf(migration, types) }))
}

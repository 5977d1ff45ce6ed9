import { DatabaseSync } from 'node:sqlite'
import { sqliteColumnTypes } from '../column-types.ts'
import { columnsOf, expectedColumns } from '../migrations/expected-columns.ts'
import {
  type AppliedMigration,
  checksumOf,
  differs,
  findMissing,
  migrationTables,
  pendingMigrations,
  selectApplied,
  unsigned,
} from '../migrations/migrations.ts'

/** "DRAM": tells a file of ours from any other SQLite file. */
export const APPLICATION_ID = 0x4452414d

/**
 * Brings a SQLite file to the newest schema in one transaction. Starters that come at once wait for each other on the
 * write lock, and the later ones find nothing left to do. Throws {@link StorageError} for a file that this version cannot
 * go on from.
 */
export function migrateSqlite(file: string): void {
  const connection = new DatabaseSync(file, { timeout: 10_000 })
  try {
    connection.exec('pragma journal_mode = wal; pragma synchronous = full')
    connection.exec('begin immediate')
    try {
      for (const table of migrationTables(sqliteColumnTypes)) connection.exec(table)
      const applied = appliedTo(connection)
      const pending = pendingMigrations(applied, sqliteColumnTypes)
      checkUnsigned(connection, applied)
      const sign = connection.prepare('insert into migration_checksum (number, checksum) values (?, ?)')
      for (const { number, checksum } of unsigned(applied, sqliteColumnTypes)) sign.run(number, checksum)
      const remember = connection.prepare('insert into migration (number, name, applied_at) values (?, ?, ?)')
      for (const migration of pending) {
        for (const statement of migration.statements(sqliteColumnTypes)) connection.exec(statement)
        remember.run(migration.number, migration.name, Date.now())
        sign.run(migration.number, checksumOf(migration, sqliteColumnTypes))
      }
      connection.exec(`pragma application_id = ${APPLICATION_ID}`)
      connection.exec('commit')
    } catch (error) {
      connection.exec('rollback')
      throw error
    }
  } finally {
    connection.close()
  }
}

/** What a file says has been done to it, in order; nothing for a new one. */
export function appliedTo(connection: DatabaseSync): AppliedMigration[] {
  const hasTable = (name: string) => connection.prepare('select 1 from sqlite_schema where name = ?').get(name)
  if (!hasTable('migration')) return []
  const statement = selectApplied(hasTable('migration_checksum') !== undefined)
  return connection.prepare(statement).all() as unknown as AppliedMigration[]
}

/** Compares the tables of a file whose migrations left no checksums with what they should be. Throws {@link StorageError}. */
export function checkUnsigned(connection: DatabaseSync, applied: readonly AppliedMigration[]): void {
  if (applied.every(({ checksum }) => checksum !== null)) return
  const rows = connection
    .prepare(
      `select m.name as "table", c.name as "column" from sqlite_schema m, pragma_table_info(m.name) c
       where m.type = 'table'`,
    )
    .all() as { table: string; column: string }[]
  const missing = findMissing(columnsOf(rows), expectedColumns(applied.length))
  if (missing !== null) throw differs(missing)
}

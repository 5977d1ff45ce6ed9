import { DatabaseSync } from 'node:sqlite'
import type { ColumnTypes } from './dialect.ts'
import { migrationTable, pendingMigrations } from './migrations/migrations.ts'

/** "DRAM": tells a file of ours from any other SQLite file. */
export const APPLICATION_ID = 0x4452414d

/**
 * Brings a SQLite file to the newest schema in one transaction. Starters that come at once wait for each other on the
 * write lock, and the later ones find nothing left to do.
 */
export function migrateSqlite(file: string, types: ColumnTypes): void {
  const connection = new DatabaseSync(file, { timeout: 10_000 })
  try {
    connection.exec('pragma journal_mode = wal; pragma synchronous = full')
    connection.exec('begin immediate')
    try {
      connection.exec(migrationTable(types))
      const row = connection.prepare('select coalesce(max(number), 0) as applied from migration').get()
      const remember = connection.prepare('insert into migration (number, name, applied_at) values (?, ?, ?)')
      for (const migration of pendingMigrations(Number(row?.['applied']))) {
        for (const statement of migration.statements(types)) connection.exec(statement)
        remember.run(migration.number, migration.name, Date.now())
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

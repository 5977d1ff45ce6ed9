import { sqliteColumnTypes } from '../column-types.ts'
import { migrations } from './migrations.ts'

/**
 * The columns of each table after the first `count` migrations, found out by carrying them out in memory: some
 * milliseconds, for databases whose migrations left no checksums.
 */
export function expectedColumns(count: number): Map<string, Set<string>> {
  const { DatabaseSync } = process.getBuiltinModule('node:sqlite')
  const database = new DatabaseSync(':memory:')
  try {
    for (const migration of migrations.slice(0, count)) {
      for (const statement of migration.statements(sqliteColumnTypes)) database.exec(statement)
    }
    return columnsOf(
      database
        .prepare(
          `select m.name as "table", c.name as "column" from sqlite_schema m, pragma_table_info(m.name) c
           where m.type = 'table' and m.name not like 'sqlite_%'`,
        )
        .all() as ColumnRow[],
    )
  } finally {
    database.close()
  }
}

type ColumnRow = { table: string; column: string }

export function columnsOf(rows: readonly ColumnRow[]): Map<string, Set<string>> {
  const columns = new Map<string, Set<string>>()
  for (const { table, column } of rows) columns.set(table, (columns.get(table) ?? new Set()).add(column))
  return columns
}

import type { Kysely, RawBuilder } from 'kysely'
import type { Schema } from './schema.ts'

/** How a migration spells the types of columns. */
export type ColumnTypes = {
  id: string
  time: string
  count: string
  flag: string
  real: string
  /** What stands behind the closing bracket of a table whose rows should lie in the order of its key. */
  clustered: string
}

/** All that queries and migrations need to know of the difference between the databases. */
export type Dialect = {
  name: 'sqlite' | 'postgres'
  columnTypes: ColumnTypes
  /** Builds and compiles queries; executing is the business of `Database`. */
  builder: Kysely<Schema>
  /** The text of the member `key` of a JSON document kept as text: strings and scalars as they print, null if absent. */
  jsonMember(column: string, key: string): RawBuilder<string | null>
  /** The day (UTC, `2026-01-31`) of a column of milliseconds. */
  utcDay(column: string): RawBuilder<string>
}

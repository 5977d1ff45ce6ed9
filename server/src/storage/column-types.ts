import type { ColumnTypes } from './dialect.ts'

export const sqliteColumnTypes: ColumnTypes = {
  id: 'text',
  time: 'integer',
  count: 'integer',
  flag: 'integer',
  real: 'real',
  clustered: 'strict, without rowid',
}

export const postgresColumnTypes: ColumnTypes = {
  id: 'uuid',
  time: 'bigint',
  count: 'bigint',
  flag: 'smallint',
  real: 'double precision',
  clustered: '',
}

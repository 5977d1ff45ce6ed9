import type pg from 'pg'
import { postgresColumnTypes } from '../column-types.ts'
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

export const GUARD_FUNCTION = 'dramatis_require'
/** The SQLSTATE that the guard raises; the name of the guard stands in the error's `constraint`. */
export const GUARD_VIOLATED = 'DR001'

/** Any number will do, as long as nothing else on the server locks the same: the first bytes of "dramatis". */
const MIGRATION_LOCK = 0x6472616d

const CREATE_GUARD = `
  create or replace function ${GUARD_FUNCTION}(touched bigint, guard text) returns bigint language plpgsql as $$
  begin
    if touched = 0 then
      raise exception 'nothing was touched: %', guard using errcode = '${GUARD_VIOLATED}', constraint = guard;
    end if;
    return touched;
  end $$`

/**
 * Brings a PostgreSQL database to the newest schema in one transaction. Starters that come at once wait for each other
 * on an advisory lock, which the end of the transaction gives back even if the starter dies. Throws {@link StorageError}
 * for a database that this version cannot go on from.
 */
export async function migratePostgres(client: Client): Promise<void> {
  try {
    await client.query('begin')
    await client.query('select pg_advisory_xact_lock($1)', [MIGRATION_LOCK])
    for (const table of migrationTables(postgresColumnTypes)) await client.query(table)
    const applied = await appliedTo(client)
    const pending = pendingMigrations(applied, postgresColumnTypes)
    await checkUnsigned(client, applied)
    const sign = (number: number, checksum: string) =>
      client.query('insert into migration_checksum (number, checksum) values ($1, $2)', [number, checksum])
    for (const { number, checksum } of unsigned(applied, postgresColumnTypes)) await sign(number, checksum)
    if (pending.length > 0) await client.query(CREATE_GUARD)
    for (const migration of pending) {
      const { number, name } = migration
      for (const statement of migration.statements(postgresColumnTypes)) await client.query(statement)
      const remember = 'insert into migration (number, name, applied_at) values ($1, $2, $3)'
      await client.query(remember, [number, name, Date.now()])
      await sign(number, checksumOf(migration, postgresColumnTypes))
    }
    await client.query('commit')
  } catch (error) {
    await client.query('rollback').catch(() => {})
    throw error
  }
}

type Client = Pick<pg.ClientBase, 'query'>

/** What a database says has been done to it, in order; it must have the table of migrations. */
export async function appliedTo(client: Client): Promise<AppliedMigration[]> {
  const found = await client.query<{ exists: boolean }>(
    "select to_regclass('migration_checksum') is not null as exists",
  )
  const { rows } = await client.query<{ number: string; name: string; checksum: string | null }>(
    selectApplied(found.rows[0]?.exists === true),
  )
  return rows.map((row) => ({ ...row, number: Number(row.number) }))
}

/** Compares the tables of a database whose migrations left no checksums with what they should be. Throws {@link StorageError}. */
export async function checkUnsigned(client: Client, applied: readonly AppliedMigration[]): Promise<void> {
  if (applied.every(({ checksum }) => checksum !== null)) return
  const { rows } = await client.query<{ table: string; column: string }>(
    `select table_name as "table", column_name as "column" from information_schema.columns
     where table_schema = current_schema()`,
  )
  const missing = findMissing(columnsOf(rows), expectedColumns(applied.length))
  if (missing !== null) throw differs(missing)
}

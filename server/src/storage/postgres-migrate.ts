import type pg from 'pg'
import type { ColumnTypes } from './dialect.ts'
import { migrationTable, pendingMigrations } from './migrations/migrations.ts'

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
 * on an advisory lock, which the end of the transaction gives back even if the starter dies.
 */
export async function migratePostgres(pool: pg.Pool, types: ColumnTypes): Promise<void> {
  const client = await pool.connect()
  try {
    await client.query('begin')
    await client.query('select pg_advisory_xact_lock($1)', [MIGRATION_LOCK])
    await client.query(migrationTable(types))
    const { rows } = await client.query('select coalesce(max(number), 0) as applied from migration')
    const pending = pendingMigrations(Number(rows[0]?.applied))
    if (pending.length > 0) await client.query(CREATE_GUARD)
    for (const migration of pending) {
      for (const statement of migration.statements(types)) await client.query(statement)
      await client.query('insert into migration (number, name, applied_at) values ($1, $2, $3)', [
        migration.number,
        migration.name,
        Date.now(),
      ])
    }
    await client.query('commit')
  } catch (error) {
    await client.query('rollback').catch(() => {})
    throw error
  } finally {
    client.release()
  }
}

import pg from 'pg'
import { postgresColumnTypes } from '../../storage/column-types.ts'
import { pendingMigrations } from '../../storage/migrations/migrations.ts'
import { appliedTo, checkUnsigned } from '../../storage/postgres-migrate.ts'
import { reasonOf } from '../reason.ts'
import { broken, type Finding, note, ok } from './finding.ts'

const TIMEOUT_MS = 10_000

/** The oldest major version that is supported. */
const OLDEST = 16

/** Looks at a PostgreSQL database without changing it. The password stays out of what it says. */
export async function examinePostgres(url: string): Promise<Finding[]> {
  const { host, pathname } = new URL(url)
  const place = `${pathname.slice(1)} at ${host}`
  const client = new pg.Client({
    connectionString: url,
    connectionTimeoutMillis: TIMEOUT_MS,
    query_timeout: TIMEOUT_MS,
    application_name: 'dramatis doctor',
  })
  client.on('error', () => {})
  try {
    await client.connect()
    return [await examineVersion(client), await examineSchema(client, place)]
  } catch (error) {
    return [broken('database', `${place} cannot be used: ${reasonOf(error)}`)]
  } finally {
    await client.end().catch(() => {})
  }
}

async function examineVersion(client: pg.Client): Promise<Finding> {
  const { rows } = await client.query<{ server_version_num: string; server_version: string }>(
    "select current_setting('server_version_num') as server_version_num, current_setting('server_version') as server_version",
  )
  const number = Number(rows[0]?.server_version_num)
  const text = `PostgreSQL ${rows[0]?.server_version}`
  return number >= OLDEST * 10_000 ? ok('database', text) : broken('database', `${text} is older than ${OLDEST}`)
}

async function examineSchema(client: pg.Client, place: string): Promise<Finding> {
  const { rows } = await client.query<{ exists: boolean }>("select to_regclass('migration') is not null as exists")
  if (!rows[0]?.exists) return note('database', `${place} is empty; the first start fills it`)
  const applied = await appliedTo(client)
  const pending = pendingMigrations(applied, postgresColumnTypes).length
  await checkUnsigned(client, applied)
  return pending > 0
    ? note('database', `${place} is reachable; the next start brings it up to date (${pending} to do)`)
    : ok('database', `${place} is reachable and up to date (migration ${applied.length})`)
}

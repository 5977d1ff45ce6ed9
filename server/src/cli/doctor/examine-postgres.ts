import type pg from 'pg'
import { postgresColumnTypes } from '../../storage/column-types.ts'
import { pendingMigrations } from '../../storage/migrations/migrations.ts'
import type { DatabaseLocation } from '../../storage/open-database.ts'
import { type Connection, createConnector, OLDEST_VERSION } from '../../storage/postgres/connect.ts'
import { appliedTo, checkUnsigned } from '../../storage/postgres/migrate.ts'
import { findPooler } from '../../storage/postgres/pooler.ts'
import { NO_STATEMENTS, tooOld, wrongEncoding } from '../../storage/postgres/postgres.ts'
import { parsePostgresUrl, placeOf } from '../../storage/postgres/target.ts'
import { reasonOf } from '../reason.ts'
import { broken, type Finding, note, ok } from './finding.ts'

const TIMEOUT_MS = 10_000

/** Looks at a PostgreSQL database without changing it. The password stays out of what it says. */
export async function examinePostgres({
  url,
  prepared,
}: Extract<DatabaseLocation, { kind: 'postgres' }>): Promise<Finding[]> {
  const target = parsePostgresUrl(url)
  const place = placeOf(target)
  let connection: Connection | undefined
  try {
    connection = await createConnector({ target, connectMs: TIMEOUT_MS, applicationName: 'dramatis doctor' })()
    return [
      examineVersion(connection.facts),
      ...examineEncoding(connection.facts),
      await examinePooler(connection, prepared),
      await examineSchema(connection.client, place),
    ].flat()
  } catch (error) {
    return [broken('database', `${place} cannot be used: ${reasonOf(error)}`)]
  } finally {
    await connection?.client.end().catch(() => {})
  }
}

function examineVersion({ version, versionNumber }: Connection['facts']): Finding {
  return versionNumber >= OLDEST_VERSION * 10_000
    ? ok('database', `PostgreSQL ${version}`)
    : note('database', tooOld(version))
}

function examineEncoding({ encoding }: Connection['facts']): Finding[] {
  return encoding === 'UTF8' ? [] : [broken('database', wrongEncoding(encoding))]
}

async function examinePooler(connection: Connection, prepared: boolean | undefined): Promise<Finding[]> {
  const pooler = await findPooler(connection, TIMEOUT_MS)
  if (pooler === 'none') return []
  if (pooler === 'with statements') return [ok('database', 'a pooler that knows prepared statements lies between')]
  return prepared
    ? [
        note(
          'database',
          'DRAMATIS_DATABASE_PREPARED=1, and a pooler without prepared statements lies between: right only if it pools sessions',
        ),
      ]
    : [note('database', NO_STATEMENTS)]
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

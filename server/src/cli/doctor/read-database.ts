import { existsSync } from 'node:fs'
import type { CompiledQuery } from 'kysely'
import type { Config } from '../../config/config.ts'
import type { Database } from '../../storage/database.ts'

const TIMEOUT_MS = 10_000

/** Reads from the database and does nothing else. */
export type Reader = Pick<Database, 'dialect' | 'read'>

/**
 * What `look` finds in the database. Null where there is none, or where it cannot be used: what is wrong with it, or has yet
 * to be brought up to date, stands in the findings about it.
 */
export async function readDatabase<T>(
  database: Config['database'],
  look: (reader: Reader) => Promise<T>,
): Promise<T | null> {
  try {
    return database.kind === 'sqlite' ? await onSqlite(database.file, look) : await onPostgres(database.url, look)
  } catch {
    return null
  }
}

/** Null where there is no file. */
async function onSqlite<T>(file: string, look: (reader: Reader) => Promise<T>): Promise<T | null> {
  if (!existsSync(file)) return null
  const [{ openOurs }, { sqliteDialect }] = await Promise.all([
    import('../../storage/sqlite/inspect.ts'),
    import('../../storage/sqlite/sqlite.ts'),
  ])
  const connection = openOurs(file)
  const read = async <Row>({ sql, parameters }: CompiledQuery<Row>) =>
    connection.prepare(sql).all(...(parameters as string[])) as Row[]
  try {
    return await look({ dialect: sqliteDialect, read })
  } finally {
    connection.close()
  }
}

async function onPostgres<T>(url: string, look: (reader: Reader) => Promise<T>): Promise<T> {
  const [{ createConnector }, { parsePostgresUrl }, { postgresDialect }] = await Promise.all([
    import('../../storage/postgres/connect.ts'),
    import('../../storage/postgres/target.ts'),
    import('../../storage/postgres/postgres.ts'),
  ])
  const connect = createConnector({
    target: parsePostgresUrl(url),
    connectMs: TIMEOUT_MS,
    applicationName: 'dramatis doctor',
  })
  const { client } = await connect()
  const read = async <Row>({ sql, parameters }: CompiledQuery<Row>) =>
    (await client.query(sql, [...parameters])).rows as Row[]
  try {
    return await look({ dialect: postgresDialect, read })
  } finally {
    await client.end().catch(() => {})
  }
}

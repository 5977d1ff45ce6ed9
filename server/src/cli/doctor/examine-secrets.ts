import { existsSync } from 'node:fs'
import type { CompiledQuery } from 'kysely'
import type { Config } from '../../config/config.ts'
import { describeUnreadable, examineSecrets, type SecretsState } from '../../features/secrets/secret-rotation.ts'
import type { Database } from '../../storage/database.ts'
import { broken, type Finding, note, ok } from './finding.ts'

const TIMEOUT_MS = 10_000

type Reader = Pick<Database, 'dialect' | 'read'>

/** Says whether the keys that are configured open the secrets of tools that are stored. Changes nothing. */
export async function examineStoredSecrets({
  database,
  tools,
}: Pick<Config, 'database' | 'tools'>): Promise<Finding[]> {
  const keys = { current: tools.secretKey, previous: tools.previousSecretKeys }
  const look = (reader: Reader) => examineSecrets(reader, keys)
  let state: SecretsState | null
  try {
    state = database.kind === 'sqlite' ? await onSqlite(database.file, look) : await onPostgres(database.url, look)
  } catch {
    // What is wrong with the database, or has yet to be brought up to date, stands in the findings about it.
    return []
  }
  if (state === null) return []
  const complaint = describeUnreadable(state, keys)
  if (complaint !== null) return [broken('secrets', complaint)]
  if (state.former > 0)
    return [note('secrets', `${state.former} are encrypted with a previous key: the next start seals them anew`)]
  return [ok('secrets', 'none are stored that could not be opened')]
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

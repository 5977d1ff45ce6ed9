import type { Writable } from 'node:stream'
import {
  type CompiledQuery,
  DummyDriver,
  Kysely,
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
  sql,
} from 'kysely'
import pg from 'pg'
import { createPaced } from '../../lib/fairness/paced.ts'
import type { DiskObstacle } from '../../lib/process/disk.ts'
import { postgresColumnTypes } from '../column-types.ts'
import { type Database, type Statement, StorageError, WriteConflict } from '../database.ts'
import type { Dialect } from '../dialect.ts'
import type { Schema } from '../schema.ts'
import { createWriteWatch } from '../write-watch.ts'
import { type Connection, createConnector, OLDEST_VERSION } from './connect.ts'
import { createMerger, type Query } from './merge.ts'
import { GUARD_VIOLATED, migratePostgres } from './migrate.ts'
import { createPostgresPool } from './pool.ts'
import { findPooler } from './pooler.ts'
import { parsePostgresUrl } from './target.ts'
import { vacuum } from './vacuum.ts'

export const postgresDialect: Dialect = {
  name: 'postgres',
  columnTypes: postgresColumnTypes,
  builder: new Kysely<Schema>({
    dialect: {
      createAdapter: () => new PostgresAdapter(),
      createDriver: () => new DummyDriver(),
      createIntrospector: (db) => new PostgresIntrospector(db),
      createQueryCompiler: () => new PostgresQueryCompiler(),
    },
  }),
  jsonMember: (column, key) => sql<string | null>`(${sql.ref(column)}::json ->> ${key}::text)`,
  utcDay: (column) => sql<string>`to_char(to_timestamp(${sql.ref(column)} / 1000) at time zone 'utc', 'YYYY-MM-DD')`,
}

export type PostgresOptions = {
  url: string
  /** Connections at most; 16 by default. */
  pool?: number
  /** Whether statements are prepared under names; found out by asking by default. */
  prepared?: boolean
  log: (message: string) => void
  /** Milliseconds after which a server that does not answer counts as gone: a silent one would hold up everything. */
  answerMs?: number
}

export const DEFAULT_POOL = 16

const UNIQUE_VIOLATION = '23505'
const CHECK_VIOLATION = '23514'
const DEADLOCK_DETECTED = '40P01'
const SERIALIZATION_FAILURE = '40001'
/** How often a batch is sent that keeps meeting deadlocks. */
const MOST_ATTEMPTS = 10
const READ_ONLY_TRANSACTION = '25006'
const OBSTACLE: Readonly<Record<string, DiskObstacle>> = {
  [READ_ONLY_TRANSACTION]: 'read-only',
  '53100': 'full',
  '58030': 'failing',
}
/** Milliseconds that a request waits for a connection, and that all hosts together have to give one. */
const CONNECT_MS = 10_000
/** Milliseconds that an unused connection is kept. */
const IDLE_MS = 30_000
/** Milliseconds for an answer. */
const ANSWER_MS = 15_000
/** Rewriting tables locks them: 2 % of the time at most, and so many milliseconds at once after a rest. */
const REWRITING = { share: 0.02, burstMs: 5_000 }
/** How much longer a long read may take. */
const SCAN_FACTOR = 8

/**
 * Opens a PostgreSQL database (16 to 18) and migrates it. A batch is one transaction sent in one go: nothing in it waits
 * for an answer, so it costs one round trip. Statements are prepared under names, unless a pooler lies between that does
 * not know them.
 * Throws {@link StorageError} when the server cannot be reached, or keeps texts in another encoding than UTF-8.
 */
export async function openPostgres(options: PostgresOptions): Promise<Database> {
  const { answerMs = ANSWER_MS, log } = options
  const target = parsePostgresUrl(options.url)
  const waitMs = Math.min(CONNECT_MS, answerMs)
  const connect = createConnector({
    target,
    connectMs: Math.ceil(waitMs / target.hosts.length),
    applicationName: 'dramatis',
  })
  const pool = createPostgresPool({ connect, size: options.pool ?? DEFAULT_POOL, waitMs, idleMs: IDLE_MS, log })

  const connection = await connect().catch((error: unknown) => {
    throw explain(error)
  })
  const { client: first } = connection
  let isPrepared: boolean
  try {
    isPrepared = await examine(connection, options, answerMs)
    await migratePostgres(first)
    pool.add(first)
  } catch (error) {
    await first.end().catch(() => {})
    throw explain(error)
  }

  const nameOf = isPrepared ? createStatementNames() : () => undefined
  const merge = createMerger()
  const readWithin = async <Row>({ sql: text, parameters }: CompiledQuery<Row>, timeoutMs: number): Promise<Row[]> => {
    try {
      const client = await pool.acquire()
      try {
        const values = parameters as unknown[]
        const query = { ...named(text, nameOf), values, query_timeout: timeoutMs } as pg.QueryConfig
        const { rows } = await client.query(query)
        pool.release(client, false)
        return rows as Row[]
      } catch (error) {
        pool.release(client, isConnectionBroken(error))
        throw error
      }
    } catch (error) {
      throw explain(error)
    }
  }

  const rewriteTables = createPaced<string>(async (tables) => {
    try {
      const client = await pool.acquire()
      try {
        const tookMs = await vacuum(client, [...tables], log)
        pool.release(client, false)
        return tookMs
      } catch (error) {
        pool.release(client, true)
        throw error
      }
    } catch (error) {
      throw explain(error)
    }
  }, REWRITING)

  const write = async (batch: readonly Statement[]): Promise<number[]> => {
    const queries = merge(batch)
    for (let attempt = 1; ; attempt++) {
      try {
        const client = await pool.acquire()
        return await transact(client, queries, nameOf, answerMs, (isBroken) => pool.release(client, isBroken))
      } catch (error) {
        if (isVictim(error) && attempt < MOST_ATTEMPTS) continue
        const explained = explain(error)
        watch.failed(explained)
        throw explained
      }
    }
  }
  const watch = createWriteWatch(write)

  return {
    dialect: postgresDialect,
    read: (query) => readWithin(query, answerMs),
    // The server runs long reads in a process of its own, so they need no other path.
    scan: (query) => readWithin(query, answerMs * SCAN_FACTOR),
    write,
    scrub: rewriteTables,
    findObstacle: watch.findObstacle,
    close: () => pool.end(),
  }
}

/** Refuses a server that would fail later, tells of one that may, and says whether statements can be prepared under names. */
async function examine(connection: Connection, options: PostgresOptions, answerMs: number): Promise<boolean> {
  const { encoding, version, versionNumber } = connection.facts
  if (encoding !== 'UTF8') throw new StorageError(wrongEncoding(encoding))
  if (versionNumber < OLDEST_VERSION * 10_000) options.log(tooOld(version))
  if (options.prepared !== undefined) return options.prepared
  const pooler = await findPooler(connection, answerMs)
  if (pooler === 'without statements') options.log(NO_STATEMENTS)
  return pooler !== 'without statements'
}

export const NO_STATEMENTS =
  'a pooler without prepared statements lies between (PgBouncer before 1.21, or max_prepared_statements=0): every statement is planned anew; if it pools sessions, DRAMATIS_DATABASE_PREPARED=1 spares that'

export function wrongEncoding(encoding: string): string {
  return `the database keeps texts as ${encoding}, and must keep them as UTF8: make one with "create database … encoding 'UTF8' template template0"`
}

export function tooOld(version: string): string {
  return `PostgreSQL ${version} is older than ${OLDEST_VERSION}, the oldest version that is tested: upgrade it`
}

async function transact(
  client: pg.Client,
  queries: readonly Query[],
  nameOf: StatementNames,
  timeoutMs: number,
  release: (isBroken: boolean) => void,
): Promise<number[]> {
  // A statement by itself is a transaction.
  const isOne = queries.length === 1
  // The last answer stands for all: when it does not come in time, pg breaks the connection.
  const last = { query_timeout: timeoutMs }
  // One write for all: by itself pg makes one for each statement, and PostgreSQL wakes up for each of them.
  const { stream } = (client as unknown as { connection: { stream: Writable } }).connection
  stream.cork()
  let sent: Promise<pg.QueryResult>[]
  try {
    const begun = isOne ? [] : [client.query('begin')]
    const answers = queries.map(({ text, values }) =>
      client.query({ ...named(text, nameOf), values, ...(isOne && last) } as pg.QueryConfig),
    )
    const committed = isOne ? [] : [client.query({ text: 'commit', ...last })]
    sent = [...begun, ...answers, ...committed]
  } catch (error) {
    release(true)
    throw error
  } finally {
    stream.uncork()
  }
  const settled = await Promise.allSettled(sent)

  // After the first failure the server refuses the rest of the transaction, so the first is the one that says why.
  const failed = settled.find((outcome) => outcome.status === 'rejected')
  release(failed !== undefined && isConnectionBroken(failed.reason))
  if (failed) throw failed.reason
  return queries.flatMap((query, i) =>
    touchedBy(query, (settled[isOne ? i : i + 1] as PromiseFulfilledResult<pg.QueryResult>).value),
  )
}

function touchedBy({ hasCounts }: Query, { rows, rowCount }: pg.QueryResult): number[] {
  return hasCounts ? Object.values(rows[0]).map(Number) : [rowCount ?? 0]
}

function named(text: string, nameOf: StatementNames): { text: string; name?: string } {
  const name = nameOf(text)
  return name === undefined ? { text } : { text, name }
}

type StatementNames = (text: string) => string | undefined

/** Gives each text a short name to prepare it under; the text itself would be cut at 63 bytes. */
function createStatementNames(): StatementNames {
  const names = new Map<string, string>()
  return (text) => {
    const known = names.get(text)
    if (known) return known
    // Beyond this number the texts are made up of filters, and preparing them would fill the server's memory.
    if (names.size >= 500) return undefined
    const name = `d${names.size}`
    names.set(text, name)
    return name
  }
}

/** PostgreSQL chose this transaction to end a deadlock. A batch reads nothing, so it can simply be sent again. */
function isVictim(error: unknown): boolean {
  return isServerError(error) && (error.code === DEADLOCK_DETECTED || error.code === SERIALIZATION_FAILURE)
}

function isServerError(error: unknown): error is pg.DatabaseError {
  return error instanceof pg.DatabaseError
}

/** A server that cannot be written to any more answers well: only a new connection finds the one that can. */
function isConnectionBroken(error: unknown): boolean {
  return !isServerError(error) || error.code === READ_ONLY_TRANSACTION
}

function explain(error: unknown): Error {
  if (error instanceof StorageError || error instanceof WriteConflict) return error
  if (!(error instanceof Error)) return new StorageError(String(error))
  if (!isServerError(error)) return new StorageError(`PostgreSQL cannot be reached: ${error.message}`, { cause: error })
  if (error.code === UNIQUE_VIOLATION || error.code === CHECK_VIOLATION || error.code === GUARD_VIOLATED) {
    return new WriteConflict(error.constraint ?? 'unknown')
  }
  if (isOfTheServer(error.code ?? '')) {
    const obstacle = OBSTACLE[error.code ?? ''] ?? null
    return new StorageError(`PostgreSQL: ${error.message}`, { cause: error, obstacle })
  }
  // Not the original: its `detail` holds the row, and so what people said, and some messages hold the wrong value.
  const isAboutSchema = /^(23|42)/.test(error.code ?? '')
  return new Error(`PostgreSQL ${error.code}: ${isAboutSchema ? error.message : `refused by ${error.routine}`}`)
}

/** Classes of https://www.postgresql.org/docs/current/errcodes-appendix.html that speak of the server's state, not of the query. */
function isOfTheServer(code: string): boolean {
  return /^(08|25006|28|3D|40|53|57|58|XX)/.test(code)
}

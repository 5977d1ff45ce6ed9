import pg from 'pg'
import { StorageError } from '../database.ts'
import type { Encryption, PostgresTarget } from './target.ts'

/** What a server says of itself. */
export type ServerFacts = {
  /** Such as 160004 for 16.4. */
  versionNumber: number
  version: string
  encoding: string
  /** The process that works for this connection; behind a pooler not the one that it was told of. */
  processId: number
}

export type Connection = { client: pg.Client; facts: ServerFacts }

export type ConnectOptions = {
  target: PostgresTarget
  /** Milliseconds for each host and way, if the URL says nothing. */
  connectMs: number
  applicationName: string
}

/** The oldest major version that is tested. */
export const OLDEST_VERSION = 16

const BIGINT = 20
const INVALID_AUTHORIZATION = '28000'
/** What a server says that none answers at: another way to encrypt will not help. */
const UNREACHABLE = /^E(CONNREFUSED|HOSTUNREACH|NETUNREACH|TIMEDOUT|NOTFOUND|AI_AGAIN|NOENT|ACCES)$|^ENOTFOUND$/

const FACTS = `
  select pg_is_in_recovery() or current_setting('transaction_read_only') = 'on' as is_read_only,
    current_setting('server_version_num')::int as number, current_setting('server_version') as version,
    current_setting('server_encoding') as encoding, pg_backend_pid() as pid`

/**
 * Gives back what connects: to the first host that answers and that can be written to, beginning with the one that did so
 * last, because a host that is silent costs all of its time. A connection counts when it has answered a query: a pooler that
 * has no server for us lets us in and says nothing. Rejects with the error of the host, or with a {@link StorageError} that
 * has the reasons of all.
 */
export function createConnector(options: ConnectOptions): () => Promise<Connection> {
  const { hosts, encryption } = options.target
  let first = 0
  return async () => {
    const failures: unknown[] = []
    for (let i = 0; i < hosts.length; i++) {
      const at = (first + i) % hosts.length
      try {
        const connection = await connectTo(options, hosts[at] as (typeof hosts)[number], encryption)
        first = at
        return connection
      } catch (error) {
        failures.push(error)
      }
    }
    throw failures.length === 1 ? failures[0] : new StorageError(failures.map(messageOf).join('; '))
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error && error.message !== '' ? error.message : String((error as NodeJS.ErrnoException).code)
}

/** Tries the ways to encrypt one after the other, as long as the host is there and only the way is wrong. */
async function connectTo(
  options: ConnectOptions,
  host: PostgresTarget['hosts'][number],
  ways: readonly Encryption[],
): Promise<Connection> {
  let failure: unknown
  for (const way of ways) {
    try {
      return await open(options, host, way)
    } catch (error) {
      failure ??= error
      if (!mayBeTheWay(error)) throw error
    }
  }
  throw failure
}

async function open(
  { target, connectMs, applicationName }: ConnectOptions,
  { host, port }: PostgresTarget['hosts'][number],
  encryption: Encryption,
): Promise<Connection> {
  const timeoutMs = target.connectMs ?? connectMs
  const client = new pg.Client({
    host,
    port,
    user: target.user,
    password: target.password,
    database: target.database,
    // TLS is for the network: the socket of the same machine has none.
    ssl: host.startsWith('/') ? false : encryption,
    ...(target.isTlsDirect && { sslnegotiation: 'direct' }),
    enableChannelBinding: target.channelBinding,
    application_name: target.applicationName ?? applicationName,
    options: target.options,
    connectionTimeoutMillis: timeoutMs,
    keepAlive: true,
    pipeline: true,
    types: { getTypeParser: (oid: number, format?: 'text' | 'binary') => parserOf(oid, format) },
  } as pg.ClientConfig)
  // A connection that breaks tells its listeners; without one it would end the process.
  client.on('error', () => {})
  try {
    await client.connect()
    const { rows } = await client.query({ text: FACTS, query_timeout: timeoutMs } as pg.QueryConfig)
    const { is_read_only, number, version, encoding, pid } = rows[0]
    if (is_read_only)
      throw new StorageError(`the PostgreSQL at ${host || 'localhost'} cannot be written to: a standby?`, {
        obstacle: 'read-only',
      })
    return { client, facts: { versionNumber: number, version, encoding, processId: pid } }
  } catch (error) {
    void client.end().catch(() => {})
    throw error
  }
}

function mayBeTheWay(error: unknown): boolean {
  if (error instanceof StorageError) return false
  // "no pg_hba.conf entry for host …, no encryption"
  if (error instanceof pg.DatabaseError) return error.code === INVALID_AUTHORIZATION
  const { code, message } = error as NodeJS.ErrnoException
  return !UNREACHABLE.test(code ?? '') && !/timeout/i.test(message)
}

function parserOf(oid: number, format?: 'text' | 'binary'): (value: string) => unknown {
  // Our bigints are milliseconds and counts, far below 2^53.
  return oid === BIGINT ? Number : (pg.types.getTypeParser(oid, format) as (value: string) => unknown)
}

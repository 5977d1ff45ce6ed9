import { resolve } from 'node:path'
import { type BlobLocation, readBlobLocation } from '../blobs/blob-location.ts'
import type { ConnectionLimits } from '../http/connections/open-connections.ts'
import type { ChainLink } from '../models/model-call.ts'
import { type ProviderSettings, readProviderSettings } from '../models/providers/provider-settings.ts'
import { PROVIDER_VARIABLES } from '../models/providers/provider-variables.ts'
import type { DatabaseLocation } from '../storage/open-database.ts'
import { ConfigError } from './config-error.ts'
import {
  type LogLevel,
  type McpPreset,
  type PostgresSettings,
  readApiKey,
  readDatabase,
  readFlag,
  readHosts,
  readInteger,
  readLogLevel,
  readMcpPresets,
  readNetworks,
  readOrigins,
  readPreviousKeys,
  readPublicUrl,
  readSecretKey,
  readTitleModel,
  readTls,
} from './config-readers.ts'
import { SERVER_VARIABLES } from './config-variables.ts'
import type { Environment } from './environment.ts'

export type Config = Readonly<{
  host: string
  port: number
  dataDirectory: string
  database: DatabaseLocation
  /** The bootstrap admin key, if one is given. */
  apiKey: string | null
  logLevel: LogLevel
  corsOrigins: readonly string[]
  tls: Readonly<{ cert: Buffer; key: Buffer }> | null
  metricsArePublic: boolean
  /** Milliseconds that running turns have to finish when the server is told to stop. */
  shutdownGraceMs: number
  /** Milliseconds for which a node holds a turn without renewing it. */
  leaseMs: number
  /** Largest body of a request, in bytes. */
  bodyLimit: number
  /** Largest file that a user may attach, in bytes. */
  attachmentLimit: number
  limits: Limits
  connections: ConnectionLimits
  tools: ToolConfig
  /** Who makes the names of conversations; null for an extract of the first message. */
  titleModel: ChainLink | null
  providers: ProviderSettings
  /** The address under which clients reach the server, without a slash at the end; null to take it from each request. */
  publicUrl: string | null
  blobs: BlobLocation
  archive: Readonly<{
    /** A conversation with more messages in the database is archived. */
    messages: number
    /** So is one in which nothing has been said for so many days; 0 for never. */
    afterDays: number
  }>
}>

export type ToolConfig = Readonly<{
  /** 32 bytes that secrets are encrypted with. */
  secretKey: Buffer | null
  /** Those that they were encrypted with before. */
  previousSecretKeys: readonly Buffer[]
  /** Hosts that tools may reach although their addresses are private. */
  privateHosts: readonly string[]
  /** The commands of MCP servers that tools may name. */
  mcpPresets: ReadonlyMap<string, McpPreset>
  /** Processes of MCP servers at the same time. */
  mcpProcesses: number
}>

export type Limits = Readonly<{
  /** For each API key; 0 for no limit. */
  requestsPerMinute: number
  /** Turns under way in this process, those that wait in a line included: of one API key, and of all. */
  runningTurnsPerKey: number
  runningTurns: number
  /** Requests with an unknown key that one address may send; 0 for no limit. */
  wrongKeysPerMinute: number
  /** Milliseconds that the event loop may be late before new work is refused; 0 for any. */
  shedDelayMs: number
}>

/**
 * Reads the configuration. Nothing else in the server looks at the environment. Throws {@link ConfigError} naming every
 * variable that is wrong; a `DRAMATIS_*` that nobody knows is a warning.
 */
export function readConfig(env: Environment): { config: Config; warnings: string[] } {
  const problems: string[] = []
  const attempt = <T>(read: () => T): T => {
    try {
      return read()
    } catch (error) {
      problems.push((error as Error).message)
      return undefined as T
    }
  }
  const text = (name: string, fallback: string): string => env[name]?.trim() || fallback
  const limit = (name: string, fallback: string, least: number): number =>
    attempt(() => readInteger(name, text(name, fallback), least, 1_000_000))
  const optional = <T>(name: string, read: (name: string, value: string) => T): T | undefined =>
    text(name, '') === '' ? undefined : attempt(() => read(name, text(name, '')))

  const dataDirectory = resolve(text('DRAMATIS_DATA_DIR', './data'))
  const postgres: PostgresSettings = {
    pool: optional('DRAMATIS_DATABASE_POOL', (name, value) => readInteger(name, value, 2, 1_000)),
    prepared: optional('DRAMATIS_DATABASE_PREPARED', readFlag),
    parameters: {
      sslmode: text('PGSSLMODE', ''),
      sslrootcert: text('PGSSLROOTCERT', ''),
      sslcert: text('PGSSLCERT', ''),
      sslkey: text('PGSSLKEY', ''),
    },
  }
  const config: Config = {
    host: text('HOST', '127.0.0.1'),
    port: attempt(() => readInteger('PORT', text('PORT', '8787'), 0, 65_535)),
    dataDirectory,
    database: attempt(() => readDatabase(text('DRAMATIS_DATABASE_URL', ''), dataDirectory, postgres)),
    apiKey: attempt(() => readApiKey(text('DRAMATIS_API_KEY', ''))),
    logLevel: attempt(() => readLogLevel(text('DRAMATIS_LOG_LEVEL', 'info'))),
    corsOrigins: attempt(() => readOrigins(text('DRAMATIS_CORS_ORIGINS', ''))),
    tls: attempt(() => readTls(text('DRAMATIS_TLS_CERT', ''), text('DRAMATIS_TLS_KEY', ''))),
    metricsArePublic: attempt(() => readFlag('DRAMATIS_METRICS_PUBLIC', text('DRAMATIS_METRICS_PUBLIC', '0'))),
    shutdownGraceMs: attempt(() =>
      readInteger('DRAMATIS_SHUTDOWN_GRACE_MS', text('DRAMATIS_SHUTDOWN_GRACE_MS', '10000'), 0, 3_600_000),
    ),
    leaseMs: attempt(() => readInteger('DRAMATIS_LEASE_MS', text('DRAMATIS_LEASE_MS', '15000'), 500, 600_000)),
    bodyLimit: attempt(() =>
      readInteger('DRAMATIS_BODY_LIMIT', text('DRAMATIS_BODY_LIMIT', '1048576'), 1_024, 104_857_600),
    ),
    attachmentLimit: attempt(() =>
      readInteger('DRAMATIS_ATTACHMENT_LIMIT', text('DRAMATIS_ATTACHMENT_LIMIT', '10485760'), 1_024, 104_857_600),
    ),
    limits: {
      requestsPerMinute: limit('DRAMATIS_REQUESTS_PER_MINUTE', '0', 0),
      runningTurnsPerKey: limit('DRAMATIS_RUNNING_TURNS_PER_KEY', '200', 1),
      runningTurns: limit('DRAMATIS_RUNNING_TURNS', '2000', 1),
      wrongKeysPerMinute: limit('DRAMATIS_WRONG_KEYS_PER_MINUTE', '600', 0),
      shedDelayMs: limit('DRAMATIS_SHED_DELAY_MS', '1000', 0),
    },
    connections: {
      inAll: limit('DRAMATIS_CONNECTIONS', '10000', 1),
      perAddress: limit('DRAMATIS_CONNECTIONS_PER_ADDRESS', '4000', 0),
      trustedProxies: attempt(() => readNetworks('DRAMATIS_TRUSTED_PROXIES', text('DRAMATIS_TRUSTED_PROXIES', ''))),
    },
    titleModel: attempt(() => readTitleModel(text('DRAMATIS_TITLE_MODEL', ''))),
    tools: {
      secretKey: attempt(() => readSecretKey('DRAMATIS_SECRET_KEY', text('DRAMATIS_SECRET_KEY', ''))),
      previousSecretKeys: attempt(() =>
        readPreviousKeys(text('DRAMATIS_SECRET_KEY_PREVIOUS', ''), text('DRAMATIS_SECRET_KEY', '') !== ''),
      ),
      privateHosts: attempt(() => readHosts(text('DRAMATIS_ALLOW_PRIVATE_HOSTS', ''))),
      mcpPresets: attempt(() => readMcpPresets(text('DRAMATIS_MCP_COMMANDS', ''))),
      mcpProcesses: limit('DRAMATIS_MCP_PROCESSES', '32', 1),
    },
    providers: attempt(() => readProviderSettings(env, dataDirectory)),
    publicUrl: attempt(() => readPublicUrl(text('DRAMATIS_PUBLIC_URL', ''))),
    blobs: attempt(() => readBlobLocation(text('DRAMATIS_BLOB_URL', ''), env, dataDirectory)),
    archive: {
      messages: limit('DRAMATIS_ARCHIVE_MESSAGES', '2000', 1),
      afterDays: limit('DRAMATIS_ARCHIVE_AFTER_DAYS', '90', 0),
    },
  }
  if (problems.length > 0) throw new ConfigError(problems)
  return { config: Object.freeze(config), warnings: unknownVariables(env) }
}

function unknownVariables(env: Environment): string[] {
  // The variables of tests are nobody's mistake.
  const known = new Set([...SERVER_VARIABLES, ...PROVIDER_VARIABLES].map(({ name }) => name as string))
  return Object.keys(env)
    .filter((name) => name.startsWith('DRAMATIS_') && !name.startsWith('DRAMATIS_TEST_') && !known.has(name))
    .map((name) => `${name} is set, and nothing here knows it.`)
}

import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { type BlobLocation, readBlobLocation } from './blobs/blob-location.ts'
import { parseAiSystem } from './models/ai-systems.ts'
import { type ProviderSettings, readProviderSettings } from './models/provider-settings.ts'
import { PROVIDER_VARIABLES } from './models/provider-variables.ts'
import type { ChainLink } from './models/resilience.ts'
import type { DatabaseLocation } from './storage/open-database.ts'

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent'

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
  limits: Limits
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
  /** Hosts that tools may reach although their addresses are private. */
  privateHosts: readonly string[]
  /** Commands that MCP servers may be started with; `*` is any. */
  mcpCommands: readonly string[]
}>

export type Limits = Readonly<{
  /** For each API key; 0 for no limit. */
  requestsPerMinute: number
  /** Turns under way in this process, those that wait in a line included: of one API key, and of all. */
  runningTurnsPerKey: number
  runningTurns: number
  /** Milliseconds that the event loop may be late before new work is refused; 0 for any. */
  shedDelayMs: number
}>

type Variable = { name: string; default: string; meaning: string }

/** The variables that are read here; those of the providers are in `models/provider-variables.ts`. */
export const SERVER_VARIABLES: readonly Variable[] = [
  { name: 'HOST', default: '127.0.0.1', meaning: 'Address to listen on.' },
  { name: 'PORT', default: '8787', meaning: 'Port to listen on; 0 lets the system choose.' },
  { name: 'DRAMATIS_DATA_DIR', default: './data', meaning: 'Folder of the SQLite file.' },
  {
    name: 'DRAMATIS_DATABASE_URL',
    default: '`dramatis.db` in the data folder',
    meaning: 'Where the data is: `file:/path/to.db` for SQLite, or `postgres://user:password@host/database`.',
  },
  {
    name: 'DRAMATIS_API_KEY',
    default: 'made at the first start',
    meaning: 'The bootstrap admin key, at least 32 characters. The command line uses it as its key.',
  },
  {
    name: 'DRAMATIS_LOG_LEVEL',
    default: 'info',
    meaning: '`trace`, `debug`, `info`, `warn`, `error`, `fatal` or `silent`.',
  },
  {
    name: 'DRAMATIS_CORS_ORIGINS',
    default: 'none',
    meaning: 'Origins that browsers may call from, separated by commas; `*` for any. Never with credentials.',
  },
  {
    name: 'DRAMATIS_TLS_CERT',
    default: 'none',
    meaning: 'File with the certificate chain (PEM). With the key: HTTP/2 and HTTP/1.1.',
  },
  { name: 'DRAMATIS_TLS_KEY', default: 'none', meaning: 'File with the private key (PEM).' },
  { name: 'DRAMATIS_METRICS_PUBLIC', default: '0', meaning: '`1` opens `/metrics` without a key.' },
  {
    name: 'DRAMATIS_SHUTDOWN_GRACE_MS',
    default: '10000',
    meaning: 'Milliseconds that running turns have to finish when the server is told to stop.',
  },
  {
    name: 'DRAMATIS_LEASE_MS',
    default: '15000',
    meaning:
      'Milliseconds after which the turns of a server that does not answer any more are ended by another one on the same PostgreSQL.',
  },
  { name: 'DRAMATIS_BODY_LIMIT', default: '1048576', meaning: 'Largest body of a request, in bytes.' },
  {
    name: 'DRAMATIS_REQUESTS_PER_MINUTE',
    default: '0',
    meaning: 'Requests a minute for each API key; `0` for no limit.',
  },
  {
    name: 'DRAMATIS_RUNNING_TURNS_PER_KEY',
    default: '200',
    meaning: 'Turns of one API key that may be under way in this process, waiting ones included.',
  },
  {
    name: 'DRAMATIS_RUNNING_TURNS',
    default: '2000',
    meaning: 'Turns of all API keys that may be under way in this process, waiting ones included.',
  },
  {
    name: 'DRAMATIS_SHED_DELAY_MS',
    default: '1000',
    meaning:
      'Milliseconds that the event loop may be late before new turns and conversations are refused; `0` for any.',
  },
  {
    name: 'DRAMATIS_PUBLIC_URL',
    default: 'that of each request',
    meaning: 'Address under which clients reach the server, for links that it gives out; needed behind a proxy.',
  },
  {
    name: 'DRAMATIS_BLOB_URL',
    default: '`blobs` in the data folder',
    meaning: 'Where blobs are: `file:/path`, `s3://bucket/prefix?endpoint=…&region=…`, or `azure://container/prefix`.',
  },
  {
    name: 'AZURE_STORAGE_CONNECTION_STRING',
    default: 'none',
    meaning: 'How to reach the blobs of `azure://`: the connection string of the storage account.',
  },
  {
    name: 'DRAMATIS_ARCHIVE_MESSAGES',
    default: '2000',
    meaning: 'A conversation with more messages in the database has its older ones moved to blobs.',
  },
  {
    name: 'DRAMATIS_ARCHIVE_AFTER_DAYS',
    default: '90',
    meaning: 'So has one in which nothing has been said for this many days; `0` for never.',
  },
  {
    name: 'DRAMATIS_TITLE_MODEL',
    default: 'none',
    meaning:
      '`aiSystem:model` of a small model that names conversations; without it, an extract of the first message does.',
  },
  {
    name: 'DRAMATIS_SECRET_KEY',
    default: 'none',
    meaning:
      '32 random bytes in base64: the key that secrets of tools are encrypted with. Without it none can be kept.',
  },
  {
    name: 'DRAMATIS_ALLOW_PRIVATE_HOSTS',
    default: 'none',
    meaning:
      'Hosts that tools may reach although their addresses are private, loopback or link-local, separated by commas.',
  },
  {
    name: 'DRAMATIS_MCP_COMMANDS',
    default: 'none',
    meaning:
      'Commands that MCP servers may be started with, separated by commas; `*` for any. They run as the server does.',
  },
  { name: 'DRAMATIS_URL', default: 'http://127.0.0.1:8787', meaning: 'The server that `dramatis chat` talks to.' },
]

/** What is wrong with the environment, in one sentence for each variable. */
export class ConfigError extends Error {
  constructor(sentences: readonly string[]) {
    super(sentences.join('\n'))
    this.name = 'ConfigError'
  }
}

type Environment = Readonly<Record<string, string | undefined>>

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

  const dataDirectory = resolve(text('DRAMATIS_DATA_DIR', './data'))
  const config: Config = {
    host: text('HOST', '127.0.0.1'),
    port: attempt(() => readInteger('PORT', text('PORT', '8787'), 0, 65_535)),
    dataDirectory,
    database: attempt(() => readDatabase(text('DRAMATIS_DATABASE_URL', ''), dataDirectory)),
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
    limits: {
      requestsPerMinute: limit('DRAMATIS_REQUESTS_PER_MINUTE', '0', 0),
      runningTurnsPerKey: limit('DRAMATIS_RUNNING_TURNS_PER_KEY', '200', 1),
      runningTurns: limit('DRAMATIS_RUNNING_TURNS', '2000', 1),
      shedDelayMs: limit('DRAMATIS_SHED_DELAY_MS', '1000', 0),
    },
    titleModel: attempt(() => readTitleModel(text('DRAMATIS_TITLE_MODEL', ''))),
    tools: {
      secretKey: attempt(() => readSecretKey(text('DRAMATIS_SECRET_KEY', ''))),
      privateHosts: attempt(() => readHosts(text('DRAMATIS_ALLOW_PRIVATE_HOSTS', ''))),
      mcpCommands: listOf(text('DRAMATIS_MCP_COMMANDS', '')),
    },
    providers: attempt(() => readProviderSettings(env)),
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

function readInteger(name: string, value: string, least: number, most: number): number {
  const number = Number(value)
  if (!/^\d+$/.test(value) || number < least || number > most) {
    throw new Error(`${name} must be a whole number from ${least} to ${most}, and is "${value}".`)
  }
  return number
}

function readFlag(name: string, value: string): boolean {
  if (value !== '0' && value !== '1') throw new Error(`${name} must be 0 or 1, and is "${value}".`)
  return value === '1'
}

function readDatabase(value: string, dataDirectory: string): DatabaseLocation {
  if (value === '') return { kind: 'sqlite', file: resolve(dataDirectory, 'dramatis.db') }
  if (/^postgres(ql)?:\/\//.test(value)) {
    if (!URL.canParse(value)) throw new Error('DRAMATIS_DATABASE_URL is not a valid postgres:// URL.')
    return { kind: 'postgres', url: value }
  }
  const file = /^(?:file:|sqlite:)(?:\/\/)?(.+)$/.exec(value)?.[1]
  if (!file) throw new Error('DRAMATIS_DATABASE_URL must begin with file: or postgres://.')
  return { kind: 'sqlite', file: resolve(decodeURIComponent(file)) }
}

function readApiKey(value: string): string | null {
  if (value === '') return null
  if (value.length < 32) throw new Error(`DRAMATIS_API_KEY must have at least 32 characters, and has ${value.length}.`)
  if (!/^[\x21-\x7e]+$/.test(value)) throw new Error('DRAMATIS_API_KEY may hold only visible ASCII characters.')
  return value
}

function readTitleModel(value: string): ChainLink | null {
  if (value === '') return null
  // The name of a model may have colons of its own: `ollama:llama3.2:3b`.
  const [, system = '', model = ''] = /^([^:]+):(.+)$/.exec(value) ?? []
  const aiSystem = parseAiSystem(system)
  if (aiSystem === null) {
    throw new Error(`DRAMATIS_TITLE_MODEL must be an AI system, a colon and a model, and is "${value}".`)
  }
  return { aiSystem, model }
}

const LOG_LEVELS: readonly LogLevel[] = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']

function readLogLevel(value: string): LogLevel {
  const level = LOG_LEVELS.find((one) => one === value.toLowerCase())
  if (!level) throw new Error(`DRAMATIS_LOG_LEVEL must be one of ${LOG_LEVELS.join(', ')}, and is "${value}".`)
  return level
}

function readPublicUrl(value: string): string | null {
  if (value === '') return null
  const isHttp = URL.canParse(value) && /^https?:$/.test(new URL(value).protocol)
  if (!isHttp || /[?#]/.test(value)) {
    throw new Error('DRAMATIS_PUBLIC_URL must be an address such as https://personas.example.com.')
  }
  return value.replace(/\/+$/, '')
}

function readSecretKey(value: string): Buffer | null {
  if (value === '') return null
  const bytes = Buffer.from(value, 'base64')
  if (bytes.length === 32 && /^[\w+/-]{43}=?$/.test(value)) return bytes
  throw new Error('DRAMATIS_SECRET_KEY must be 32 bytes in base64, such as `openssl rand -base64 32` makes.')
}

function readHosts(value: string): string[] {
  const hosts = listOf(value)
  for (const host of hosts) {
    if (!/^(\[[0-9a-f:.]+\]|[\w.-]+)$/i.test(host)) {
      throw new Error(
        `DRAMATIS_ALLOW_PRIVATE_HOSTS holds "${host}", which is no host such as crm.internal or 10.0.0.7.`,
      )
    }
  }
  return hosts
}

function listOf(value: string): string[] {
  return value
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '')
}

function readOrigins(value: string): string[] {
  const origins = listOf(value)
  for (const origin of origins) {
    if (origin !== '*' && (!URL.canParse(origin) || new URL(origin).origin !== origin)) {
      throw new Error(`DRAMATIS_CORS_ORIGINS holds "${origin}", which is no origin such as https://example.com.`)
    }
  }
  return origins
}

function readTls(cert: string, key: string): Config['tls'] {
  if (cert === '' && key === '') return null
  if (cert === '') throw new Error('DRAMATIS_TLS_KEY is set and DRAMATIS_TLS_CERT is not.')
  if (key === '') throw new Error('DRAMATIS_TLS_CERT is set and DRAMATIS_TLS_KEY is not.')
  return { cert: readPem('DRAMATIS_TLS_CERT', cert), key: readPem('DRAMATIS_TLS_KEY', key) }
}

function readPem(name: string, file: string): Buffer {
  try {
    return readFileSync(file)
  } catch (error) {
    throw new Error(`${name} names a file that cannot be read: ${(error as Error).message}.`)
  }
}

function unknownVariables(env: Environment): string[] {
  // The variables of tests are nobody's mistake.
  const known = new Set([...SERVER_VARIABLES, ...PROVIDER_VARIABLES].map(({ name }) => name as string))
  return Object.keys(env)
    .filter((name) => name.startsWith('DRAMATIS_') && !name.startsWith('DRAMATIS_TEST_') && !known.has(name))
    .map((name) => `${name} is set, and nothing here knows it.`)
}

import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { resolve } from 'node:path'
import { isJsonObject, type JsonObject, type JsonValue } from '../lib/json.ts'
import { type Networks, parseNetworks } from '../lib/networks.ts'
import { parseAiSystem } from '../models/ai-systems.ts'
import type { ChainLink } from '../models/model-call.ts'
import type { DatabaseLocation } from '../storage/open-database.ts'
import { parsePostgresUrl, withDefaultParameters } from '../storage/postgres/target.ts'

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent'

// Each reads one variable and throws a sentence that names it and says what is wrong.

export function readInteger(name: string, value: string, least: number, most: number): number {
  const number = Number(value)
  if (!/^\d+$/.test(value) || number < least || number > most) {
    throw new Error(`${name} must be a whole number from ${least} to ${most}, and is "${value}".`)
  }
  return number
}

export function readFlag(name: string, value: string): boolean {
  if (value !== '0' && value !== '1') throw new Error(`${name} must be 0 or 1, and is "${value}".`)
  return value === '1'
}

/** How a PostgreSQL is used; the names are those of libpq's parameters. */
export type PostgresSettings = {
  pool: number | undefined
  prepared: boolean | undefined
  parameters: Readonly<Record<string, string>>
}

export function readDatabase(
  value: string,
  dataDirectory: string,
  { pool, prepared, parameters }: PostgresSettings,
): DatabaseLocation {
  if (value === '') return { kind: 'sqlite', file: resolve(dataDirectory, 'dramatis.db') }
  if (/^postgres(ql)?:\/\//.test(value)) {
    const url = withDefaultParameters(value, parameters)
    parsePostgresUrl(url)
    return { kind: 'postgres', url, ...(pool !== undefined && { pool }), ...(prepared !== undefined && { prepared }) }
  }
  const file = /^(?:file:|sqlite:)(?:\/\/)?(.+)$/.exec(value)?.[1]
  if (!file) throw new Error('DRAMATIS_DATABASE_URL must begin with file: or postgres://.')
  return { kind: 'sqlite', file: resolve(decodeURIComponent(file)) }
}

export function readApiKey(value: string): string | null {
  if (value === '') return null
  if (value.length < 32) throw new Error(`DRAMATIS_API_KEY must have at least 32 characters, and has ${value.length}.`)
  if (!/^[\x21-\x7e]+$/.test(value)) throw new Error('DRAMATIS_API_KEY may hold only visible ASCII characters.')
  return value
}

export function readTitleModel(value: string): ChainLink | null {
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

export function readLogLevel(value: string): LogLevel {
  const level = LOG_LEVELS.find((one) => one === value.toLowerCase())
  if (!level) throw new Error(`DRAMATIS_LOG_LEVEL must be one of ${LOG_LEVELS.join(', ')}, and is "${value}".`)
  return level
}

export function readPublicUrl(value: string): string | null {
  if (value === '') return null
  const isHttp = URL.canParse(value) && /^https?:$/.test(new URL(value).protocol)
  if (!isHttp || /[?#]/.test(value)) {
    throw new Error('DRAMATIS_PUBLIC_URL must be an address such as https://personas.example.com.')
  }
  return value.replace(/\/+$/, '')
}

export function readSecretKey(name: string, value: string): Buffer | null {
  if (value === '') return null
  const bytes = Buffer.from(value, 'base64')
  if (bytes.length === 32 && /^[\w+/-]{43}=?$/.test(value)) return bytes
  throw new Error(`${name} must be 32 bytes in base64, such as \`openssl rand -base64 32\` makes.`)
}

/** Keys that secrets were encrypted with before, separated by commas. */
export function readPreviousKeys(value: string, hasKey: boolean): Buffer[] {
  const keys = listOf(value).flatMap((key) => readSecretKey('Each key in DRAMATIS_SECRET_KEY_PREVIOUS', key) ?? [])
  if (keys.length > 0 && !hasKey) {
    throw new Error(
      'DRAMATIS_SECRET_KEY_PREVIOUS is set and DRAMATIS_SECRET_KEY is not: secrets could be sealed anew with nothing.',
    )
  }
  return keys
}

export function readHosts(value: string): string[] {
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

export function readNetworks(name: string, value: string): Networks {
  try {
    return parseNetworks(listOf(value))
  } catch (error) {
    throw new Error(`${name} holds ${(error as Error).message}, such as 10.0.0.7 or 10.0.0.0/8.`)
  }
}

const PRESETS_EXAMPLE = '{"files": {"command": "/usr/bin/mcp-files", "args": ["/srv/docs"]}}'
/** Bytes of a file with presets. */
const LONGEST_PRESETS = 1_048_576

/** A command that the operator has named, with all that it is started with. */
export type McpPreset = Readonly<{
  command: string
  args: readonly string[]
  /** What it gets besides the harmless variables that every process needs. */
  env: Readonly<Record<string, string>>
  cwd: string | null
}>

/** An object of JSON, or the path of a file with one; as in other programs it may stand in `mcpServers`. */
export function readMcpPresets(value: string): ReadonlyMap<string, McpPreset> {
  if (value === '') return new Map()
  const presets = presetsIn(value)
  return new Map(Object.entries(presets).map(([name, preset]) => [name, readPreset(name, preset)]))
}

function presetsIn(value: string): JsonObject {
  const how = `it must be a JSON object such as ${PRESETS_EXAMPLE}, or the path of a file with one`
  try {
    if (!value.startsWith('{') && statSync(value).size > LONGEST_PRESETS) throw new Error('too large')
    const parsed: unknown = JSON.parse(value.startsWith('{') ? value : readFileSync(value, 'utf8'))
    const presets = isJsonObject(parsed) && isJsonObject(parsed['mcpServers']) ? parsed['mcpServers'] : parsed
    if (isJsonObject(presets)) return presets
  } catch {
    // Said below.
  }
  throw new Error(
    `DRAMATIS_MCP_COMMANDS names each command of an MCP server with its arguments, and a list of commands does not do any more: ${how}.`,
  )
}

function readPreset(name: string, preset: JsonValue): McpPreset {
  const wrong = (what: string) => new Error(`DRAMATIS_MCP_COMMANDS: the preset "${name}" ${what}.`)
  if (!/^[\w-]{1,64}$/.test(name)) throw wrong('must be called by 1 to 64 letters, digits, _ and -')
  if (!isJsonObject(preset)) throw wrong('must be an object with a command')
  const { command, args = [], env = {}, cwd = null } = preset
  const isText = (text: unknown): text is string => typeof text === 'string' && !text.includes('\0')
  if (!isText(command) || command === '') throw wrong('needs a command')
  if (!Array.isArray(args) || !args.every(isText)) throw wrong('needs args that are a list of texts')
  if (!isJsonObject(env) || !Object.entries(env).every(([key, text]) => /^[^=\0]+$/.test(key) && isText(text))) {
    throw wrong('needs an env of names and texts')
  }
  if (cwd !== null && !isText(cwd)) throw wrong('needs a cwd that is a folder')
  return { command, args: args.filter(isText), env: env as Record<string, string>, cwd }
}

export function listOf(value: string): string[] {
  return value
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '')
}

export function readOrigins(value: string): string[] {
  const origins = listOf(value)
  for (const origin of origins) {
    if (origin !== '*' && (!URL.canParse(origin) || new URL(origin).origin !== origin)) {
      throw new Error(`DRAMATIS_CORS_ORIGINS holds "${origin}", which is no origin such as https://example.com.`)
    }
  }
  return origins
}

export function readTls(cert: string, key: string): Readonly<{ cert: Buffer; key: Buffer }> | null {
  if (cert === '' && key === '') return null
  if (cert === '') throw new Error('DRAMATIS_TLS_KEY is set and DRAMATIS_TLS_CERT is not.')
  if (key === '') throw new Error('DRAMATIS_TLS_CERT is set and DRAMATIS_TLS_KEY is not.')
  const files = { cert: readPem('DRAMATIS_TLS_CERT', cert), key: readPem('DRAMATIS_TLS_KEY', key) }
  checkPair(files)
  return files
}

function checkPair({ cert, key }: { cert: Buffer; key: Buffer }): void {
  const certificate = parsed(
    'DRAMATIS_TLS_CERT names a file that holds no certificate (PEM)',
    () => new X509Certificate(cert),
  )
  const privateKey = parsed('DRAMATIS_TLS_KEY names a file that holds no private key (PEM) without a password', () =>
    createPrivateKey(key),
  )
  if (!certificate.checkPrivateKey(privateKey)) {
    throw new Error('DRAMATIS_TLS_KEY does not belong to the first certificate in DRAMATIS_TLS_CERT.')
  }
}

function parsed<T>(otherwise: string, parse: () => T): T {
  try {
    return parse()
  } catch (error) {
    throw new Error(`${otherwise}: ${(error as Error).message}.`)
  }
}

function readPem(name: string, file: string): Buffer {
  try {
    return readFileSync(file)
  } catch (error) {
    throw new Error(`${name} names a file that cannot be read: ${(error as Error).message}.`)
  }
}

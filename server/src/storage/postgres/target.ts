import { readFileSync } from 'node:fs'
import type { ConnectionOptions } from 'node:tls'

/** Where a PostgreSQL is and how to speak to it, as its URL says. */
export type PostgresTarget = {
  /** In the order in which they are tried. An empty host or port is what `pg` takes by itself. */
  hosts: readonly { host: string; port: number | undefined }[]
  user: string | undefined
  password: string | undefined
  database: string | undefined
  /** Ways to encrypt, in the order in which they are tried; `false` is not at all. */
  encryption: readonly Encryption[]
  /** The handshake of TLS comes first, without asking for it (PostgreSQL 17). */
  isTlsDirect: boolean
  channelBinding: boolean
  applicationName: string | undefined
  options: string | undefined
  /** Milliseconds for each host. */
  connectMs: number | undefined
}

export type Encryption = false | ConnectionOptions

type Parameters = ReadonlyMap<string, string>

const NAME = 'DRAMATIS_DATABASE_URL'
const PATTERN = /^postgres(?:ql)?:\/\/(?:([^/?#]*)@)?([^/?#@]*)(?:\/([^?#]*))?(?:\?([^#]*))?$/

/** What speaks of safety and is not done here must not be passed over. */
const UNSUPPORTED =
  /^(ssl(?!mode|rootcert|cert|key|negotiation|password|compression|sni)\w*|gss\w*|krb\w*|require_auth|requirepeer)$/

/**
 * Reads a URL as libpq does, https://www.postgresql.org/docs/current/libpq-connect.html: several hosts, `sslmode` and
 * its files, `target_session_attrs`, `connect_timeout`. Reads the files that it names. Throws a sentence for the operator,
 * without the password.
 */
export function parsePostgresUrl(url: string): PostgresTarget {
  const [whole, userinfo = '', authority = '', path = '', query = ''] = PATTERN.exec(url) ?? []
  if (whole === undefined) throw new Error(`${NAME} is not a valid postgres:// URL.`)
  const parameters: Parameters = new Map(new URLSearchParams(query))
  refuseUnsupported(parameters)
  const colon = userinfo.indexOf(':')
  const text = (name: string, inUrl: string) => parameters.get(name) || decoded(inUrl) || undefined
  const hosts = hostsOf(authority, parameters)
  const encryption = encryptionOf(parameters)
  return {
    hosts,
    user: text('user', colon < 0 ? userinfo : userinfo.slice(0, colon)),
    password: text('password', colon < 0 ? '' : userinfo.slice(colon + 1)),
    database: text('dbname', path),
    encryption,
    isTlsDirect: isTlsDirect(parameters, encryption),
    channelBinding: parameters.get('channel_binding') === 'require',
    applicationName: parameters.get('application_name'),
    options: parameters.get('options'),
    connectMs: secondsOf(parameters, 'connect_timeout'),
  }
}

/** Names the place for people: database and hosts, no user and no password. */
export function placeOf({ hosts, database }: PostgresTarget): string {
  const names = hosts.map(({ host, port }) =>
    [host || 'localhost', port].filter((part) => part !== undefined).join(':'),
  )
  return `${database ?? 'the default database'} at ${names.join(', ')}`
}

/** What must not be shown of a URL: passwords, as they are written and as they are meant. */
export function secretsOfPostgresUrl(url: string): string[] {
  const [, userinfo = '', , , query = ''] = PATTERN.exec(url) ?? []
  const parameters = new URLSearchParams(query)
  const written = userinfo.includes(':') ? userinfo.slice(userinfo.indexOf(':') + 1) : ''
  const meant = [decoded(written), parameters.get('password') ?? '', parameters.get('sslpassword') ?? '']
  return [written, ...meant, ...meant.map(encodeURIComponent)].filter((secret) => secret !== '')
}

/** Adds those parameters that the URL does not have itself, as libpq does with its environment variables. */
export function withDefaultParameters(url: string, defaults: Readonly<Record<string, string>>): string {
  const [address = '', query = ''] = url.split('?', 2)
  const own = new URLSearchParams(query)
  const added = Object.entries(defaults).filter(([name, value]) => value !== '' && !own.has(name))
  if (added.length === 0) return url
  return `${address}?${[query, new URLSearchParams(added)].filter(String).join('&')}`
}

function refuseUnsupported(parameters: Parameters): void {
  for (const [name, value] of parameters) {
    if (UNSUPPORTED.test(name) && !/^(prefer|disable|0|)$/.test(value)) {
      throw new Error(`${NAME} has ${name}=${value}, which this server cannot do.`)
    }
  }
  const wanted = parameters.get('target_session_attrs') ?? 'any'
  if (!/^(any|read-write|primary)$/.test(wanted)) {
    throw new Error(`${NAME} has target_session_attrs=${wanted}, but this server has to write: say read-write.`)
  }
}

function hostsOf(authority: string, parameters: Parameters): PostgresTarget['hosts'] {
  const fromUrl = authority.split(',').map((part) => {
    const [, host = '', port = ''] = /^(\[[^\]]*\]|[^:[\]]*)(?::(\d*))?$/.exec(part) ?? []
    if (host === '' && part !== '' && !part.startsWith(':'))
      throw new Error(`${NAME} holds "${part}", which is no host.`)
    return { host: decoded(host.replace(/^\[(.*)\]$/, '$1')), port }
  })
  const ports = parameters.get('port')?.split(',') ?? fromUrl.map(({ port }) => port)
  const hosts = parameters.get('host')?.split(',') ?? fromUrl.map(({ host }) => host)
  if (ports.length !== 1 && ports.length !== hosts.length) {
    throw new Error(`${NAME} has ${hosts.length} hosts and ${ports.length} ports.`)
  }
  return hosts.map((host, i) => ({ host, port: portOf(ports.length === 1 ? ports[0] : ports[i]) }))
}

function portOf(text = ''): number | undefined {
  if (text === '') return undefined
  const port = Number(text)
  if (!(port >= 1 && port <= 65_535)) throw new Error(`${NAME} has the port "${text}".`)
  return port
}

/**
 * `prefer` is libpq's default: encrypted where the server can, which keeps out who only listens. Only `verify-ca` and
 * `verify-full` make sure whom one speaks to.
 */
function encryptionOf(parameters: Parameters): Encryption[] {
  const rootFile = parameters.get('sslrootcert') ?? ''
  const mode = parameters.get('sslmode') ?? modeOfSsl(parameters.get('ssl'))
  const isPublic = rootFile === 'system'
  if (isPublic && mode !== undefined && mode !== 'verify-full') {
    throw new Error(`${NAME} has sslrootcert=system, which needs sslmode=verify-full.`)
  }
  const files = clientFiles(parameters)
  const ca = rootFile === '' || isPublic ? {} : { ca: readFile('sslrootcert', rootFile) }
  const open: ConnectionOptions = { ...files, rejectUnauthorized: false }
  const byAuthority: ConnectionOptions = { ...files, ...ca, checkServerIdentity: () => undefined }
  switch (mode ?? (isPublic ? 'verify-full' : 'prefer')) {
    case 'disable':
      return [false]
    case 'allow':
      return [false, open]
    case 'prefer':
      return [open, false]
    case 'no-verify':
      return [open]
    case 'require':
      // With a root certificate it is taken for verify-ca, as libpq does.
      return [rootFile === '' ? open : byAuthority]
    case 'verify-ca':
      if (rootFile === '') {
        throw new Error(
          `${NAME} has sslmode=verify-ca without sslrootcert: name the file with your CA's certificate, or say verify-full for a public CA.`,
        )
      }
      return [byAuthority]
    case 'verify-full':
      return [{ ...files, ...ca }]
    default:
      throw new Error(
        `${NAME} has sslmode=${mode}, which is none of disable, allow, prefer, require, verify-ca and verify-full.`,
      )
  }
}

/** The word of other drivers: they verify. */
function modeOfSsl(value: string | undefined): string | undefined {
  if (value === undefined) return undefined
  if (value === 'no-verify') return value
  return /^(false|0)$/.test(value) ? 'disable' : 'verify-full'
}

function clientFiles(parameters: Parameters): ConnectionOptions {
  const cert = parameters.get('sslcert') ?? ''
  const key = parameters.get('sslkey') ?? ''
  if (cert === '' && key === '') return {}
  if (cert === '' || key === '') throw new Error(`${NAME} has one of sslcert and sslkey, and needs both.`)
  const passphrase = parameters.get('sslpassword')
  return { cert: readFile('sslcert', cert), key: readFile('sslkey', key), ...(passphrase && { passphrase }) }
}

function readFile(name: string, file: string): Buffer {
  try {
    return readFileSync(file)
  } catch (error) {
    throw new Error(`The ${name} of the database names a file that cannot be read: ${(error as Error).message}.`)
  }
}

function isTlsDirect(parameters: Parameters, encryption: readonly Encryption[]): boolean {
  if (parameters.get('sslnegotiation') !== 'direct') return false
  if (encryption.includes(false))
    throw new Error(`${NAME} has sslnegotiation=direct, which needs sslmode=require or more.`)
  return true
}

function secondsOf(parameters: Parameters, name: string): number | undefined {
  const value = parameters.get(name)
  if (value === undefined || value === '' || value === '0') return undefined
  if (!/^\d+$/.test(value)) throw new Error(`${NAME} has ${name}=${value}, which is no number of seconds.`)
  return Number(value) * 1_000
}

/** A percent sign that encodes nothing stands for itself. */
function decoded(text: string): string {
  return decodeURIComponent(text.replaceAll(/%(?![\da-f]{2})/gi, '%25'))
}

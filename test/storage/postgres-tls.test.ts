import { execFileSync } from 'node:child_process'
import { chownSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createConnector } from '../../server/src/storage/postgres/connect.ts'
import { parsePostgresUrl } from '../../server/src/storage/postgres/target.ts'
import { createOwnPostgres, type OwnPostgres } from '../faults/support/own-postgres.ts'

/** Its names have to do with how it logs in and not with who it is. */
const HBA = `
hostssl all certified all cert
hostssl all plainonly all reject
hostnossl all tlsonly all reject
`

/** Makes an authority, and certificates by it: of the server `localhost`, and of the user `certified`. */
function makeCertificates(directory: string): void {
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: directory, stdio: 'pipe' })
  const authority = (name: string) =>
    openssl('req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', `/CN=${name}`, ...files(name))
  const files = (name: string) => ['-keyout', `${name}.key`, '-out', `${name}.crt`]
  authority('ca')
  authority('stranger')
  for (const name of ['localhost', 'certified']) {
    const request = ['-newkey', 'rsa:2048', '-nodes', '-subj', `/CN=${name}`, '-keyout', `${name}.key`]
    openssl('req', ...request, '-out', `${name}.csr`)
    writeFileSync(join(directory, 'san'), `subjectAltName=DNS:${name}`)
    const signed = ['-CA', 'ca.crt', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '2', '-extfile', 'san']
    openssl('x509', '-req', '-in', `${name}.csr`, ...signed, '-out', `${name}.crt`)
  }
}

describe('TLS to PostgreSQL', () => {
  const directory = mkdtempSync(join(tmpdir(), 'dramatis-certificates-'))
  const file = (name: string) => join(directory, name)
  let encrypted: OwnPostgres
  let plain: OwnPostgres

  beforeAll(async () => {
    makeCertificates(directory)
    encrypted = await createOwnPostgres({
      prepare(data) {
        for (const name of ['localhost.crt', 'localhost.key', 'ca.crt']) {
          writeFileSync(join(data, name), readFileSync(file(name)), { mode: 0o600 })
          chownSync(join(data, name), statSync(data).uid, statSync(data).gid)
        }
        const hba = join(data, 'pg_hba.conf')
        writeFileSync(hba, HBA + readFileSync(hba, 'utf8'))
      },
      flags: (data) =>
        [
          'ssl=on',
          `ssl_cert_file=${join(data, 'localhost.crt')}`,
          `ssl_key_file=${join(data, 'localhost.key')}`,
          `ssl_ca_file=${join(data, 'ca.crt')}`,
        ].flatMap((setting) => ['-c', setting]),
    })
    plain = await createOwnPostgres()
    const admin = new pg.Client({ connectionString: encrypted.url })
    await admin.connect()
    for (const role of ['certified', 'plainonly', 'tlsonly'])
      await admin.query(`create role ${role} login password 'x'`)
    await admin.end()
  })
  afterAll(async () => {
    await encrypted.remove()
    await plain.remove()
    rmSync(directory, { recursive: true, force: true })
  })

  /** Connects, and says whether that is encrypted. */
  async function connect(base: string, query: string, { host = 'localhost', user = '' } = {}): Promise<'TLS' | 'open'> {
    const url = new URL(base)
    url.hostname = host
    if (user !== '') {
      url.username = user
      url.password = 'x'
    }
    const target = parsePostgresUrl(`${url.href}?${query}`)
    const { client } = await createConnector({ target, connectMs: 10_000, applicationName: 'test' })()
    try {
      const { rows } = await client.query('select ssl from pg_stat_ssl where pid = pg_backend_pid()')
      return rows[0].ssl ? 'TLS' : 'open'
    } finally {
      await client.end()
    }
  }

  test.each([
    ['', 'TLS'],
    ['sslmode=disable', 'open'],
    ['sslmode=allow', 'open'],
    ['sslmode=prefer', 'TLS'],
    ['sslmode=require', 'TLS'],
    [`sslmode=require&sslrootcert=${file('ca.crt')}`, 'TLS'],
    [`sslmode=verify-ca&sslrootcert=${file('ca.crt')}`, 'TLS'],
    [`sslmode=verify-full&sslrootcert=${file('ca.crt')}`, 'TLS'],
  ])('with "%s" is %s', async (query, how) => {
    expect(await connect(encrypted.url, query)).toBe(how)
  })

  test.each([
    ['the authority is another one', `sslmode=verify-full&sslrootcert=${file('stranger.crt')}`, 'localhost'],
    ['the authority is another one', `sslmode=verify-ca&sslrootcert=${file('stranger.crt')}`, 'localhost'],
    ['the authority is another one', `sslmode=require&sslrootcert=${file('stranger.crt')}`, 'localhost'],
    ['no public authority knows it', 'sslmode=verify-full', 'localhost'],
    ['no public authority knows it', 'sslrootcert=system', 'localhost'],
    ['the name is another one', `sslmode=verify-full&sslrootcert=${file('ca.crt')}`, '127.0.0.1'],
  ])('is refused when %s: %s', async (_, query, host) => {
    await expect(connect(encrypted.url, query, { host })).rejects.toThrow(
      /self-signed|unable to (verify|get)|certificate|does not match/i,
    )
  })

  test('does not look at the name with verify-ca', async () => {
    const query = `sslmode=verify-ca&sslrootcert=${file('ca.crt')}`
    expect(await connect(encrypted.url, query, { host: '127.0.0.1' })).toBe('TLS')
  })

  test('is done without by a server that has none, unless it is required', async () => {
    for (const query of ['', 'sslmode=prefer', 'sslmode=allow', 'sslmode=disable']) {
      expect(await connect(plain.url, query)).toBe('open')
    }
    await expect(connect(plain.url, 'sslmode=require')).rejects.toThrow('does not support SSL')
  })

  test('is tried the other way when the server says so', async () => {
    expect(await connect(encrypted.url, 'sslmode=prefer', { user: 'plainonly' })).toBe('open')
    expect(await connect(encrypted.url, 'sslmode=allow', { user: 'tlsonly' })).toBe('TLS')
    await expect(connect(encrypted.url, 'sslmode=require', { user: 'plainonly' })).rejects.toThrow('rejects connection')
    await expect(connect(encrypted.url, 'sslmode=disable', { user: 'tlsonly' })).rejects.toThrow('rejects connection')
  })

  test('logs in with a certificate', async () => {
    const query = `sslmode=verify-full&sslrootcert=${file('ca.crt')}`
    const own = `&sslcert=${file('certified.crt')}&sslkey=${file('certified.key')}`
    expect(await connect(encrypted.url, query + own, { user: 'certified' })).toBe('TLS')
    await expect(connect(encrypted.url, query, { user: 'certified' })).rejects.toThrow('client certificate')
  })

  test('begins at once with sslnegotiation=direct', async () => {
    expect(await connect(encrypted.url, 'sslmode=require&sslnegotiation=direct')).toBe('TLS')
  })
})

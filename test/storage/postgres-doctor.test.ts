import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, chownSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openPostgres } from '../../server/src/storage/postgres/postgres.ts'
import { PGBOUNCER_MISSING, pgbouncer, withPgbouncer } from '../faults/support/pgbouncer.ts'
import { databaseKinds, type TestDatabase } from '../support/databases.ts'
import { freePort } from '../support/free-port.ts'
import { environmentOf, runCli } from '../support/process.ts'

const postgres = databaseKinds.find(({ name }) => name === 'postgres')

async function diagnose(place: TestDatabase, url: string, extra: Record<string, string> = {}) {
  const noProvider = { OLLAMA_HOST: 'http://127.0.0.1:9' }
  return runCli(['doctor'], {
    ...environmentOf(place, { PORT: '0', ...noProvider, ...extra }),
    DRAMATIS_DATABASE_URL: url,
  })
}

describe.skipIf(!postgres)('the doctor of a PostgreSQL', () => {
  let place: TestDatabase
  beforeAll(async () => {
    place = await (postgres as NonNullable<typeof postgres>).create()
  })
  afterAll(() => place.remove())

  test('sees an encoding that will not do', async () => {
    const name = `${new URL(place.url).pathname.slice(1)}_latin`
    const admin = new pg.Client({ connectionString: place.url })
    await admin.connect()
    await admin.query(`create database ${name} encoding 'LATIN1' lc_collate 'C' lc_ctype 'C' template template0`)
    const url = new URL(place.url)
    url.pathname = `/${name}`
    const { code, stdout } = await diagnose(place, url.href)
    await admin.query(`drop database ${name}`)
    await admin.end()
    expect(code).toBe(1)
    expect(stdout).toMatch(/BAD\s+database\s+the database keeps texts as LATIN1, and must keep them as UTF8/)
  })

  test.skipIf(!pgbouncer)(
    `sees a pooler without prepared statements${pgbouncer ? '' : ` (${PGBOUNCER_MISSING})`}`,
    async () => {
      await withPgbouncer(place.url, { pool_mode: 'transaction', default_pool_size: 2 }, async (url) => {
        const found = await diagnose(place, url)
        expect(found.stdout).toMatch(/note\s+database\s+a pooler without prepared statements lies between/)
        const told = await diagnose(place, url, { DRAMATIS_DATABASE_PREPARED: '1' })
        expect(told.stdout).toMatch(/note\s+database\s+DRAMATIS_DATABASE_PREPARED=1, and a pooler/)
      })
      expect((await diagnose(place, place.url)).stdout).not.toMatch(/pooler/)
    },
  )
})

const DEBIAN = '/usr/lib/postgresql'
const old = existsSync(DEBIAN) ? readdirSync(DEBIAN).find((version) => Number(version) < 16) : undefined

describe.skipIf(!old || process.getuid?.() !== 0)(
  `an old PostgreSQL${old ? '' : ` (skipped: there is none in ${DEBIAN})`}`,
  () => {
    test('is told of once at the start, and by the doctor', async () => {
      const directory = mkdtempSync(join(tmpdir(), 'dramatis-old-postgres-'))
      chmodSync(directory, 0o755)
      const [uid, gid] = ['-u', '-g'].map((flag) => Number(execFileSync('id', [flag, 'postgres'])))
      chownSync(directory, uid as number, gid as number)
      const as = { uid, gid, cwd: directory, stdio: 'ignore' } as const
      const bin = join(DEBIAN, String(old), 'bin')
      const data = join(directory, 'data')
      execFileSync(
        join(bin, 'initdb'),
        ['-D', data, '-U', 'dramatis', '--auth=trust', '--encoding=UTF8', '--locale=C'],
        as,
      )
      const port = await freePort()
      const flags = [
        '-D',
        data,
        '-p',
        String(port),
        '-c',
        'listen_addresses=127.0.0.1',
        '-c',
        'unix_socket_directories=',
      ]
      const server = spawn(join(bin, 'postgres'), flags, as)
      const ended = once(server, 'close')
      try {
        const url = `postgres://dramatis@127.0.0.1:${port}/postgres`
        const logged: string[] = []
        const open = () => openPostgres({ url, log: (line) => logged.push(line) }).catch(() => null)
        let database = await open()
        while (!database) database = await open()
        expect(logged).toEqual([expect.stringMatching(`^PostgreSQL ${old}.* is older than 16`)])
        await database.close()
        const place = { location: { kind: 'postgres', url }, url, directory, remove: async () => {} } as const
        expect((await diagnose(place, url)).stdout).toMatch(
          new RegExp(`note\\s+database\\s+PostgreSQL ${old}.*older than 16`),
        )
      } finally {
        server.kill('SIGINT')
        await ended
        rmSync(directory, { recursive: true, force: true })
      }
    })
  },
)

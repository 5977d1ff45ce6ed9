import pg from 'pg'
import { describe, expect, test } from 'vitest'
import { type Database, StorageError } from '../../server/src/storage/database.ts'
import { openPostgres } from '../../server/src/storage/postgres/postgres.ts'
import { PGBOUNCER_MISSING, pgbouncer, withPgbouncer } from '../faults/support/pgbouncer.ts'
import { createPersona, type RunningApp, serve } from '../support/app.ts'
import { databaseKinds, type TestDatabase } from '../support/databases.ts'

const postgres = databaseKinds.find(({ name }) => name === 'postgres')
const AT_ONCE = 40

/** Work beyond what the connections can do at once: every piece of it is to succeed. */
async function converse(server: RunningApp): Promise<void> {
  const persona = await createPersona(server, {}, { text: 'One two three.' })
  const talks = Array.from({ length: AT_ONCE }, async () => {
    const made = await server.call('POST', '/conversations/persona', {
      personaId: persona['personaId'],
      replacements: { name: 'Ada' },
    })
    const path = `/conversations/${made.body['conversationId']}`
    const said = await server.call('PATCH', `${path}/chat`, { message: 'Hello' })
    const read = await server.call('GET', path)
    return [made.status, said.status, read.status]
  })
  expect(await Promise.all(talks)).toEqual(Array(AT_ONCE).fill([200, 200, 200]))
}

async function withPlace(use: (place: TestDatabase) => Promise<void>): Promise<void> {
  const place = await (postgres as NonNullable<typeof postgres>).create()
  try {
    await use(place)
  } finally {
    await place.remove()
  }
}

async function withApp(place: TestDatabase, env: Record<string, string>, use: (server: RunningApp) => Promise<void>) {
  const server = await serve(place, env)
  try {
    await use(server)
  } finally {
    await server.close()
  }
}

async function onPlace<Row>(place: TestDatabase, text: string): Promise<Row[]> {
  const client = new pg.Client({ connectionString: place.url })
  await client.connect()
  try {
    return (await client.query(text)).rows as Row[]
  } finally {
    await client.end()
  }
}

/** A role that owns the database and may have so many connections. */
async function limitedTo(
  place: TestDatabase,
  connections: number,
): Promise<{ place: TestDatabase; drop(): Promise<void> }> {
  const url = new URL(place.url)
  const role = `r${url.pathname.slice(1)}`
  await onPlace(place, `create role ${role} login password 'x' connection limit ${connections}`)
  await onPlace(place, `alter database ${url.pathname.slice(1)} owner to ${role}`)
  await onPlace(place, `alter schema public owner to ${role}`)
  url.username = role
  url.password = 'x'
  return {
    place: { ...place, url: url.href },
    async drop() {
      await onPlace(place, `reassign owned by ${role} to dramatis`)
      await onPlace(place, `drop owned by ${role}`)
      await onPlace(place, `drop role ${role}`)
    },
  }
}

function organizations(database: Database): Promise<unknown[]> {
  return database.read(database.dialect.builder.selectFrom('organization').selectAll().compile())
}

describe.skipIf(!postgres)('connections to PostgreSQL', () => {
  test('are as many as DRAMATIS_DATABASE_POOL says at most', () =>
    withPlace((place) =>
      withApp(place, { DRAMATIS_DATABASE_POOL: '3' }, async (server) => {
        await converse(server)
        const rows = await onPlace<{ n: number }>(
          place,
          `select count(*)::int as n from pg_stat_activity
           where datname = current_database() and application_name = 'dramatis'`,
        )
        expect(rows[0]?.n).toBe(3)
      }),
    ))

  test.each([1, 2])('may be fewer than wanted: with %s all requests wait for their turn', (granted) =>
    withPlace(async (place) => {
      const limited = await limitedTo(place, granted)
      await withApp(limited.place, {}, async (server) => {
        await converse(server)
        const told = server.logged.filter(({ msg }) => /grants . of 16 connections/.test(String(msg)))
        expect(told).toHaveLength(1)
        expect(String(told[0]?.['msg'])).toMatch(/too many connections for role/)
      })
      await limited.drop()
    }),
  )

  test('that cannot be had at all are a 503, until there is one again', () =>
    withPlace(async (place) => {
      const limited = await limitedTo(place, 2)
      const url = new URL(limited.place.url)
      await withApp(limited.place, {}, async (server) => {
        await onPlace(place, `alter role ${url.username} connection limit 0`)
        await onPlace(place, `select pg_terminate_backend(pid) from pg_stat_activity where usename = '${url.username}'`)
        const refused = async () => (await server.call('GET', '/conversations')).status
        while ((await refused()) !== 503) await new Promise((resolve) => setTimeout(resolve, 5))
        expect(await Promise.all(Array.from({ length: 5 }, refused))).toEqual(Array(5).fill(503))
        await onPlace(place, `alter role ${url.username} connection limit 1`)
        expect(await refused()).toBe(200)
      })
      await limited.drop()
    }))

  test('to a database in another encoding are refused at the start with a sentence', async () => {
    await withPlace(async (place) => {
      for (const encoding of ['SQL_ASCII', 'LATIN1']) {
        const name = `enc_${new URL(place.url).pathname.slice(1)}`
        await onPlace(
          place,
          `create database ${name} encoding '${encoding}' lc_collate 'C' lc_ctype 'C' template template0`,
        )
        const url = new URL(place.url)
        url.pathname = `/${name}`
        const opened = openPostgres({ url: url.href, log: () => {} })
        await expect(opened).rejects.toThrow(StorageError)
        await expect(opened).rejects.toThrow(`keeps texts as ${encoding}, and must keep them as UTF8`)
        await onPlace(place, `drop database ${name}`)
      }
    })
  })
})

describe.skipIf(!postgres || !pgbouncer)(`PgBouncer${pgbouncer ? '' : ` (${PGBOUNCER_MISSING})`}`, () => {
  test.each([1, 3])('in transaction mode without prepared statements is found out, with %s connections', (size) =>
    withPlace(async (place) => {
      await withPgbouncer(place.url, { pool_mode: 'transaction', default_pool_size: size }, async (url) => {
        await withApp({ ...place, url }, {}, async (server) => {
          for (let i = 0; i < 3; i++) await converse(server)
          expect(server.logged.filter(({ level }) => Number(level) >= 50)).toEqual([])
          expect(server.logged.map(({ msg }) => String(msg))).toContainEqual(
            expect.stringMatching(/pooler without prepared statements/),
          )
        })
      })
    }),
  )

  test('in transaction mode is served when DRAMATIS_DATABASE_PREPARED=0 says so', () =>
    withPlace(async (place) => {
      await withPgbouncer(place.url, { pool_mode: 'transaction', default_pool_size: 3 }, async (url) => {
        await withApp({ ...place, url }, { DRAMATIS_DATABASE_PREPARED: '0' }, converse)
      })
    }))

  test('in session mode grants what it has, and the rest wait', () =>
    withPlace(async (place) => {
      await withPgbouncer(place.url, { pool_mode: 'session', default_pool_size: 3 }, async (url) => {
        const database = await openPostgres({ url, log: () => {}, answerMs: 1_000 })
        for (let round = 0; round < 3; round++) {
          const answers = await Promise.all(Array.from({ length: AT_ONCE }, () => organizations(database)))
          expect(answers).toHaveLength(AT_ONCE)
        }
        await database.close()
        await withApp({ ...place, url }, { DRAMATIS_DATABASE_PREPARED: '1' }, converse)
      })
    }))
})

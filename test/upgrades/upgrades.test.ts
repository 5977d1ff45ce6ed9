import { readFileSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import pg from 'pg'
import { expect, test } from 'vitest'
import { postgresColumnTypes, sqliteColumnTypes } from '../../server/src/storage/column-types.ts'
import { checksumOf, type Migration, migrations } from '../../server/src/storage/migrations/migrations.ts'
import { APPLICATION_ID } from '../../server/src/storage/sqlite/migrate.ts'
import { expectError, type Json, serve } from '../support/app.ts'
import { onEveryDatabase, type TestDatabase } from '../support/databases.ts'
import { environmentOf, runCli } from '../support/process.ts'

/** What a server of an earlier time had stored: a persona with two versions, a talk with a reply made anew, a secret … */
type Fixture = { key: string; conversationId: string; personaId: string; rows: Record<string, Row[]> }
type Row = Record<string, string | number | null>

const FIXTURES = [{ name: '0.1.0-first-schema', migrations: 1 }]
const SECRET_KEY = Buffer.alloc(32, 7).toString('base64')

const readFixture = (name: string) =>
  JSON.parse(readFileSync(new URL(`./fixtures/${name}.json`, import.meta.url), 'utf8')) as Fixture

/** A database without a server. */
type Raw = { run(statement: string, parameters?: (string | number | null)[]): Promise<unknown>; close(): Promise<void> }

async function openRaw({ location }: TestDatabase): Promise<Raw> {
  if (location.kind === 'sqlite') {
    const connection = new DatabaseSync(location.file)
    return {
      run: async (statement, parameters = []) => connection.prepare(statement).all(...parameters),
      close: async () => connection.close(),
    }
  }
  const client = new pg.Client({ connectionString: location.url })
  await client.connect()
  return {
    run: async (statement, parameters = []) => {
      let n = 0
      return (
        await client.query(
          statement.replaceAll('?', () => `$${++n}`),
          parameters,
        )
      ).rows
    },
    close: () => client.end(),
  }
}

/** Makes a database as it was after the first `count` migrations, by a version that kept no checksums. */
async function makeOld(place: TestDatabase, count: number, rows: Fixture['rows'] = {}): Promise<void> {
  const types = place.location.kind === 'sqlite' ? sqliteColumnTypes : postgresColumnTypes
  const raw = await openRaw(place)
  if (place.location.kind === 'sqlite') await raw.run(`pragma application_id = ${APPLICATION_ID}`)
  await raw.run(
    `create table migration (number ${types.count} not null primary key, name text not null, applied_at ${types.time} not null)`,
  )
  for (const { number, name, statements } of migrations.slice(0, count)) {
    for (const statement of statements(types)) await raw.run(statement)
    await raw.run('insert into migration (number, name, applied_at) values (?, ?, ?)', [
      number,
      name,
      1_795_000_000_000,
    ])
  }
  for (const [table, list] of Object.entries(rows)) {
    for (const row of list) {
      const columns = Object.keys(row)
      const places = columns.map(() => '?').join(', ')
      await raw.run(`insert into ${table} (${columns.join(', ')}) values (${places})`, Object.values(row))
    }
  }
  await raw.close()
}

test('a migration that was released is never changed', () => {
  const pin = (migration: Migration) => [
    migration.name,
    checksumOf(migration, sqliteColumnTypes).slice(0, 16),
    checksumOf(migration, postgresColumnTypes).slice(0, 16),
  ]
  // Add a line for a new one. A line that differs is a database of somebody's that does not start any more.
  expect(migrations.map(pin)).toMatchInlineSnapshot(`
    [
      [
        "initial",
        "816458006d630602",
        "06ee6d6b70ba737d",
      ],
      [
        "tools",
        "b0c3b0e43491048a",
        "b0c3b0e43491048a",
      ],
      [
        "waiting-by-node",
        "8ff0b66782dc4729",
        "8ff0b66782dc4729",
      ],
      [
        "secret-keys-and-waiting-calls",
        "de38a864b6502490",
        "6997d97f567379ef",
      ],
      [
        "left-out-messages",
        "3ef052f2e563cbac",
        "3ef052f2e563cbac",
      ],
      [
        "thoughts",
        "0dc235ecc0cf50f4",
        "0dc235ecc0cf50f4",
      ],
    ]
  `)
})

onEveryDatabase('a database of an earlier version', (kind) => {
  test.each(FIXTURES)('is brought up to date, and all of it answers: $name', async ({ name, migrations: count }) => {
    const place = await kind.create()
    const { key, conversationId, personaId, rows } = readFixture(name)
    await makeOld(place, count, rows)
    for (const start of ['first', 'second']) {
      const server = await serve(place, { DRAMATIS_API_KEY: key, DRAMATIS_SECRET_KEY: SECRET_KEY })
      const own = { 'x-hl-api-key': key }
      const call = <T = Json>(method: string, path: string, body?: unknown) => server.call<T>(method, path, body, own)
      const talk = await call<{ chatMessages: Json[] }>('GET', `/conversations/${conversationId}`)
      expect(talk.status, talk.text).toBe(200)
      expect(talk.body.chatMessages.slice(0, 3).map(({ content }) => content)).toEqual([
        'You are Ada, second version.',
        'Hello from Ada.',
        'What was before?',
      ])
      const reads = [
        ['/conversations?metadata.shop=north', 'data.0.conversationId', conversationId],
        ['/conversations/user/old-user', 'data.0.conversationId', conversationId],
        [`/conversations/${conversationId}/runs`, 'data.0.status', 'completed'],
        [`/personas/${personaId}`, 'personaVersions.length', 2],
        ['/api-keys', 'data.length', 2],
        ['/secrets', 'data.0.name', 'TOKEN'],
      ] as const
      for (const [path, member, wanted] of reads) {
        const answer = await call('GET', path)
        expect([path, answer.status]).toEqual([path, 200])
        expect([path, at(answer.body, member)]).toEqual([path, wanted])
      }
      const turn = await call('PATCH', `/conversations/${conversationId}/chat`, { message: `And now, ${start}?` })
      expect(turn.status, turn.text).toBe(200)
      const exported = await server.open('GET', `/conversations/${conversationId}/export?format=jsonl`, undefined, own)
      expect(await exported.text()).toContain('What was before?')
      // Who may do everything may do what came later too.
      const tools = [
        {
          type: 'http',
          name: 't',
          description: 'd',
          inputSchema: { type: 'object' },
          method: 'GET',
          url: 'https://example.com',
        },
      ]
      const started = await call('POST', '/conversations', {
        aiSystem: 'rehearsal',
        model: 'rehearsal',
        configuration: { tools },
      })
      expect(started.status, started.text).toBe(200)
      await server.close()
    }
    await place.remove()
  })

  async function expectRefused(place: TestDatabase, sentence: RegExp): Promise<void> {
    await expect(serve(place)).rejects.toThrow(sentence)
    const doctor = await runCli(['doctor'], environmentOf(place))
    expect(doctor.stdout).toMatch(sentence)
    expect(doctor.code).toBe(1)
    const start = await runCli(['start'], environmentOf(place, { PORT: '0' }))
    expect(start.code).toBe(1)
    expect(start.stderr).toMatch(sentence)
    expect(start.stderr).not.toContain('    at ')
  }

  test('that is not what it says is refused, by the start and by the doctor', async () => {
    const place = await kind.create()
    await makeOld(place, 1)
    const raw = await openRaw(place)
    // As one had it while the first migration was still being written.
    await raw.run('alter table persona drop column search_tags')
    await raw.close()
    await expectRefused(place, /cannot go on from \(the table persona lacks search_tags\)/)
    await place.remove()
  })

  test('whose migrations did something else is refused', async () => {
    const place = await kind.create()
    await (await serve(place)).close()
    const raw = await openRaw(place)
    await raw.run("update migration_checksum set checksum = 'of another text' where number = 2")
    await raw.close()
    await expectRefused(place, /cannot go on from \(migration 2 was another one/)
    await place.remove()
  })

  test('of a later version is refused', async () => {
    const place = await kind.create()
    await (await serve(place)).close()
    const raw = await openRaw(place)
    await raw.run("insert into migration (number, name, applied_at) values (99, 'later', 1)")
    await raw.close()
    await expectRefused(place, /start the newer version/)
    await place.remove()
  })

  test('keeps what was done to it with its checksums', async () => {
    const place = await kind.create()
    await makeOld(place, 1)
    const server = await serve(place)
    expectError(await server.call('GET', '/conversations/01a208a9-a60c-7002-837a-43e3cbe69b0e'), 'not_found')
    await server.close()
    const types = kind.name === 'sqlite' ? sqliteColumnTypes : postgresColumnTypes
    const raw = await openRaw(place)
    const rows = (await raw.run('select number, checksum from migration_checksum order by number')) as Json[]
    await raw.close()
    expect(rows.map(({ number, checksum }) => [Number(number), checksum])).toEqual(
      migrations.map((migration) => [migration.number, checksumOf(migration, types)]),
    )
    await place.remove()
  })
})

/** A member by its path, such as `data.0.name`. */
function at(value: unknown, path: string): unknown {
  return path.split('.').reduce<unknown>((inner, name) => (inner as Record<string, unknown> | null)?.[name], value)
}

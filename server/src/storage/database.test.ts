import { afterEach, beforeEach, expect, test } from 'vitest'
import { onEveryDatabase, type TestDatabase } from '../../../test/support/databases.ts'
import { type Database, WriteConflict } from './database.ts'
import { openDatabase } from './open-database.ts'
import { prepareRead, prepareWrite } from './prepare.ts'

const A = '01890000-0000-7000-8000-00000000000a'
const B = '01890000-0000-7000-8000-00000000000b'

const insertOrganization = prepareWrite<{ id: string; name: string }>((db, p) =>
  db.insertInto('organization').values({ id: p('id'), name: p('name'), token_secret: 's', created_at: 1 }),
)
const renameOrganization = prepareWrite<{ id: string; name: string }>(
  (db, p) =>
    db
      .updateTable('organization')
      .set({ name: p('name') })
      .where('id', '=', p('id')),
  { guard: 'organization_exists' },
)
const touchOrganization = prepareWrite<{ id: string; at: number }>((db, p) =>
  db
    .updateTable('organization')
    .set({ created_at: p('at') })
    .where('id', '=', p('id')),
)
const organizationNames = prepareRead((db) =>
  db.selectFrom('organization').select(['id', 'name', 'created_at']).orderBy('id'),
)

onEveryDatabase('a database', (kind) => {
  let place: TestDatabase
  let database: Database
  const open = () => openDatabase(place.location, { asServer: true, log: () => {} })

  beforeEach(async () => {
    place = await kind.create()
    database = await open()
  })
  afterEach(async () => {
    await database.close()
    await place.remove()
  })

  test('gives back what was written, after a restart too', async () => {
    const name = 'Grüße, 世界 🎭 \u2028 "quoted" \\ '
    await database.write([insertOrganization(database, { id: A, name })])
    expect(await organizationNames(database, {})).toEqual([{ id: A, name, created_at: 1 }])
    await database.close()
    database = await open()
    expect(await organizationNames(database, {})).toEqual([{ id: A, name, created_at: 1 }])
  })

  test('says how many rows each statement touched', async () => {
    const touched = await database.write([
      insertOrganization(database, { id: A, name: 'a' }),
      renameOrganization(database, { id: A, name: 'b' }),
      touchOrganization(database, { id: B, at: 2 }),
    ])
    expect(touched).toEqual([1, 1, 0])
  })

  test('undoes a batch whose guard finds no row, and names the guard', async () => {
    const write = database.write([
      insertOrganization(database, { id: A, name: 'a' }),
      renameOrganization(database, { id: B, name: 'b' }),
    ])
    await expect(write).rejects.toEqual(new WriteConflict('organization_exists'))
    expect(await organizationNames(database, {})).toEqual([])
  })

  test('undoes a batch that violates a constraint, and names it', async () => {
    await database.write([insertOrganization(database, { id: A, name: 'a' })])
    const write = database.write([
      insertOrganization(database, { id: B, name: 'b' }),
      insertOrganization(database, { id: A, name: 'again' }),
    ])
    await expect(write).rejects.toEqual(new WriteConflict('organization_pkey'))
    expect((await organizationNames(database, {})).map((row) => row.name)).toEqual(['a'])
  })

  test('names a unique index that is violated', async () => {
    const insertKey = prepareWrite<{ id: string }>((db, p) =>
      db.insertInto('api_key').values({
        organization_id: A,
        id: p('id'),
        name: 'n',
        prefix: 'p',
        hash: 'the same',
        scopes: '[]',
        created_at: 1,
      }),
    )
    await database.write([insertKey(database, { id: A })])
    await expect(database.write([insertKey(database, { id: B })])).rejects.toEqual(new WriteConflict('api_key_hash'))
  })

  test('lets the other batches of a group pass when one of them fails', async () => {
    const outcomes = await Promise.allSettled([
      database.write([insertOrganization(database, { id: A, name: 'a' })]),
      database.write([renameOrganization(database, { id: '01890000-0000-7000-8000-0000000000ff', name: 'x' })]),
      database.write([insertOrganization(database, { id: B, name: 'b' })]),
    ])
    expect(outcomes.map((outcome) => outcome.status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
    expect(await organizationNames(database, {})).toHaveLength(2)
  })

  test('goes on after a statement that makes no sense', async () => {
    await expect(database.write([{ sql: 'insert into nowhere values (1)', parameters: [] }])).rejects.toThrow(/nowhere/)
    await database.write([insertOrganization(database, { id: A, name: 'a' })])
    expect(await organizationNames(database, {})).toHaveLength(1)
  })

  test('reads a member of a JSON document as text', async () => {
    const { dialect } = database
    const document = JSON.stringify({ word: 'x', yes: true, no: false, n: 1.5, 'a"b.c': 'odd', nothing: null })
    await database.write([insertOrganization(database, { id: A, name: document })])
    const members = ['word', 'yes', 'no', 'n', 'a"b.c', 'nothing', 'absent']
    const query = dialect.builder
      .selectFrom('organization')
      .select(members.map((key, i) => dialect.jsonMember('name', key).as(`m${i}`)))
    expect(Object.values((await database.scan(query.compile(), A))[0] ?? {})).toEqual([
      'x',
      'true',
      'false',
      '1.5',
      'odd',
      null,
      null,
    ])
  })

  test('lets batches through that lock the same rows in opposite order', async () => {
    await database.write([A, B].map((id) => insertOrganization(database, { id, name: '' })))
    const rename = (ids: string[], name: string) =>
      database.write(ids.map((id) => renameOrganization(database, { id, name })))
    await Promise.all(Array.from({ length: 4 }, (_, i) => (i % 2 ? rename([A, B], `${i}`) : rename([B, A], `${i}`))))
    const [a, b] = await organizationNames(database, {})
    expect(a?.name).toBe(b?.name)
  })

  test('survives openers that migrate at the same time', async () => {
    await database.close()
    await place.remove()
    place = await kind.create()
    const opened = await Promise.all(
      [1, 2, 3].map(() => openDatabase(place.location, { asServer: false, log: () => {} })),
    )
    await opened[0]?.write([insertOrganization(opened[0], { id: A, name: 'a' })])
    expect(await organizationNames(opened[2] as Database, {})).toHaveLength(1)
    await Promise.all(opened.map((one) => one.close()))
    database = await open()
  })
})

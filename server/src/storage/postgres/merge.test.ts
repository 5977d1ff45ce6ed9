import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { onEveryDatabase, type TestDatabase } from '../../../../test/support/databases.ts'
import { type Database, type Statement, WriteConflict } from '../database.ts'
import { openDatabase } from '../open-database.ts'
import { prepareRead, prepareWrite } from '../prepare.ts'
import { createMerger, type Query } from './merge.ts'

const single = (sql: string, ...parameters: Statement['parameters']): Statement => ({ sql, parameters })
const free = (sql: string, ...parameters: Statement['parameters']): Statement => ({
  ...single(sql, ...parameters),
  isIndependent: true,
})
const texts = (queries: readonly Query[]) => queries.map(({ text }) => text)

describe('what PostgreSQL is sent of a batch', () => {
  const merge = createMerger()

  test('a statement that is not independent goes as it is', () => {
    expect(merge([single('update a set b = $1', 7), single('delete from c')])).toEqual([
      { text: 'update a set b = $1', values: [7], hasCounts: false },
      { text: 'delete from c', values: [], hasCounts: false },
    ])
  })

  test('its guard is asked in the same statement', () => {
    expect(merge([{ ...single('update a set b = $1', 7), guard: 'a_exists' }])).toEqual([
      {
        text: "with t0 as (update a set b = $1 returning 1) select dramatis_require((select count(*) from t0), 'a_exists') as c0",
        values: [7],
        hasCounts: true,
      },
    ])
  })

  test('independent ones that stand together become one, with their parameters numbered on', () => {
    const guarded = { ...free('update b set c = $2 where d = $1 and e = $2', 2, 3), guard: 'b_exists' }
    expect(
      merge([
        free('insert into a values ($1)', 1),
        guarded,
        free('delete from f'),
        free('delete from g where h = $1', 4),
      ]),
    ).toEqual([
      {
        text:
          'with t0 as (insert into a values ($1) returning 1), ' +
          't1 as (update b set c = $3 where d = $2 and e = $3 returning 1), ' +
          't2 as (delete from f returning 1), t3 as (delete from g where h = $4 returning 1) ' +
          'select (select count(*) from t0) as c0, ' +
          "dramatis_require((select count(*) from t1), 'b_exists') as c1, " +
          '(select count(*) from t2) as c2, (select count(*) from t3) as c3',
        values: [1, 2, 3, 4],
        hasCounts: true,
      },
    ])
  })

  test('one that stands alone goes as it is', () => {
    expect(texts(merge([free('a'), single('b'), free('c'), free('d'), single('e')]))).toEqual([
      'a',
      'b',
      'with t0 as (c returning 1), t1 as (d returning 1) select (select count(*) from t0) as c0, (select count(*) from t1) as c1',
      'e',
    ])
  })

  test('more than ten parameters are not taken for one and a digit', () => {
    const twelve = Array.from({ length: 12 }, (_, i) => i + 1)
    const sql = `insert into a values (${twelve.map((n) => `$${n}`).join()})`
    const [query] = merge([free(sql, ...twelve), free(sql, ...twelve)])
    expect(query?.text).toContain(`values (${twelve.map((n) => `$${n + 12}`).join()})`)
    expect(query?.values).toEqual([...twelve, ...twelve])
  })

  test('the same run has the same text, and one with another guard, or none, another', () => {
    const guarded = (guard?: string) => ({ ...free('update a set b = $1', 1), ...(guard && { guard }) })
    for (const rest of [[], [free('delete from c')]]) {
      const run = (guard?: string) => texts(merge([guarded(guard), ...rest])).join()
      expect(run()).not.toContain('dramatis_require')
      expect(run('one')).toContain("'one'")
      expect(run('other')).toContain("'other'")
      expect([run(), run('one')]).toEqual([run(), run('one')])
    }
  })

  test('a long run becomes several, of few lengths', () => {
    const known = new Set(
      Array.from({ length: 300 }, (_, n) =>
        texts(merge(Array.from({ length: n }, () => free('insert into a values ($1)', n)))),
      ).flat(),
    )
    expect(known.size).toBeLessThanOrEqual(16)
  })

  test('each statement is counted once, with its own values in its own places', () => {
    const statement = fc.record({
      sql: fc.constantFrom(
        'insert into a values ($1, $2)',
        'update b set c = $2 where d = $1',
        'update e set f = $2, g = $1',
      ),
      parameters: fc.tuple(fc.integer(), fc.integer()),
      isIndependent: fc.boolean(),
    })
    fc.assert(
      fc.property(fc.array(statement, { maxLength: 40 }), (batch) => {
        const filled = (text: string, values: Query['values']) =>
          text.replaceAll(/\$(\d+)/g, (_, number) => `<${values[Number(number) - 1]}>`)
        const done = merge(batch).flatMap(({ text, values, hasCounts }) => {
          const parts = [...filled(text, values).matchAll(/t\d+ as \((.+?) returning 1\)/g)].map(([, sql]) => sql)
          expect(hasCounts ? (text.match(/ as c\d+/g)?.length ?? 0) : 0).toBe(parts.length)
          return hasCounts ? parts : [filled(text, values)]
        })
        expect(done).toEqual(batch.map(({ sql, parameters }) => filled(sql, parameters)))
      }),
    )
  })
})

const insertSecret = prepareWrite<{ organization: string; name: string; sealed: string }>((db, p) =>
  db.insertInto('secret').values({
    organization_id: p('organization'),
    name: p('name'),
    sealed: p('sealed'),
    key_id: '-',
    created_at: 1,
    modified_at: 1,
  }),
)
const changeSecret = prepareWrite<{ organization: string; name: string; sealed: string }>((db, p) =>
  db
    .updateTable('secret')
    .set((eb) => ({ sealed: p('sealed'), modified_at: eb('modified_at', '+', 1) }))
    .where('organization_id', '=', p('organization'))
    .where('name', '=', p('name')),
)
const deleteSecret = prepareWrite<{ organization: string; name: string; sealed: string }>((db, p) =>
  db.deleteFrom('secret').where('organization_id', '=', p('organization')).where('name', '=', p('name')),
)
const selectSecrets = prepareRead<{ organization: string }, { name: string; sealed: string; modified_at: number }>(
  (db, p) =>
    db
      .selectFrom('secret')
      .select(['name', 'sealed', 'modified_at'])
      .where('organization_id', '=', p('organization'))
      .orderBy('name'),
)

onEveryDatabase('a batch of independent statements', (kind) => {
  let place: TestDatabase
  let database: Database
  beforeAll(async () => {
    place = await kind.create()
    database = await openDatabase(place.location, { asServer: true, log: () => {} })
  })
  afterAll(async () => {
    await database.close()
    await place.remove()
  })

  /** What has become of a batch on an organization of its own that begins with the secrets a to e. */
  async function outcomeOf(make: (organization: string) => Statement[]) {
    const organization = crypto.randomUUID()
    await database.write(
      ['a', 'b', 'c', 'd', 'e'].map((name) => insertSecret(database, { organization, name, sealed: '' })),
    )
    const touched = await database.write(make(organization)).catch((error: unknown) => {
      if (error instanceof WriteConflict) return error.constraint
      throw error
    })
    return { touched, rows: await selectSecrets(database, { organization }) }
  }

  test('leaves the same rows and counts as one after the other', async () => {
    const act = fc.record({
      statement: fc.constantFrom(insertSecret, changeSecret, deleteSecret),
      isIndependent: fc.boolean(),
      guard: fc.option(fc.constantFrom('first', 'second'), { freq: 4, nil: undefined }),
    })
    // Each row is only touched once: that is what independent means.
    const acts = fc.uniqueArray(fc.tuple(fc.constantFrom(...'abcdefghijklmnopqrstuvwxyz'), act), {
      selector: ([name]) => name,
      maxLength: 26,
    })
    await fc.assert(
      fc.asyncProperty(acts, async (chosen) => {
        const batch = (isMarked: boolean) => (organization: string) =>
          chosen.map(([name, { statement, isIndependent, guard }]) => ({
            ...statement(database, { organization, name, sealed: `${name}'s` }),
            ...(guard !== undefined && { guard }),
            isIndependent: isMarked && isIndependent,
          }))
        expect(await outcomeOf(batch(true))).toEqual(await outcomeOf(batch(false)))
      }),
      { numRuns: 60 },
    )
  })

  const marked = (statement: Statement, guard?: string): Statement => ({
    ...statement,
    isIndependent: true,
    ...(guard !== undefined && { guard }),
  })
  const untouched = ['a', 'b', 'c', 'd', 'e'].map((name) => ({ name, sealed: '', modified_at: 1 }))

  test('is undone as a whole by a guard in the middle', async () => {
    const outcome = await outcomeOf((organization) => [
      insertSecret(database, { organization, name: 'x', sealed: '' }),
      marked(changeSecret(database, { organization, name: 'a', sealed: 'new' }), 'a_exists'),
      marked(deleteSecret(database, { organization, name: 'y', sealed: '' }), 'y_exists'),
      marked(insertSecret(database, { organization, name: 'z', sealed: '' })),
    ])
    expect(outcome).toEqual({ touched: 'y_exists', rows: untouched })
  })

  test('names the first of several guards that do not hold', async () => {
    const outcome = await outcomeOf((organization) =>
      ['y', 'z'].map((name) => marked(deleteSecret(database, { organization, name, sealed: '' }), `${name}_exists`)),
    )
    expect(outcome).toEqual({ touched: 'y_exists', rows: untouched })
  })

  test('names the constraint that is violated', async () => {
    const outcome = await outcomeOf((organization) => [
      marked(changeSecret(database, { organization, name: 'b', sealed: 'new' }), 'b_exists'),
      marked(insertSecret(database, { organization, name: 'a', sealed: '' })),
      marked(deleteSecret(database, { organization, name: 'c', sealed: '' })),
    ])
    expect(outcome).toEqual({ touched: 'secret_pkey', rows: untouched })
  })

  test('may be as long as one likes', async () => {
    const outcome = await outcomeOf((organization) =>
      Array.from({ length: 6_000 }, (_, n) =>
        marked(insertSecret(database, { organization, name: `${n}`, sealed: '' })),
      ),
    )
    expect(outcome.touched).toEqual(new Array(6_000).fill(1))
    expect(outcome.rows).toHaveLength(6_005)
  })
})

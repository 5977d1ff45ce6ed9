import { expect, test } from 'vitest'
import { type Database, type Statement, WriteConflict } from './database.ts'
import { type Rider, RiderRefused, withRiders } from './riders.ts'

const statement = (sql: string): Statement => ({ sql, parameters: [] })

function setup(refuse: (sql: string) => string | undefined = () => undefined) {
  const batches: string[][] = []
  const write: Database['write'] = async (batch) => {
    const sql = batch.map((one) => one.sql)
    const constraint = sql.map(refuse).find((name) => name !== undefined)
    if (constraint !== undefined) throw new WriteConflict(constraint)
    batches.push(sql)
    return batch.map((_, i) => i)
  }
  const rider: Rider = { statement: () => statement('claim'), constraint: 'claim_pkey', isAboard: false }
  return { ...withRiders({ write } as Database), batches, rider }
}

test('goes with the first batch, and with that alone', async () => {
  const { database, ride, rider, batches } = setup()
  await database.write([statement('before')])
  await ride(rider, async () => {
    expect(await database.write([statement('a'), statement('b')])).toEqual([1, 2])
    await database.write([statement('c')])
  })
  await database.write([statement('after')])
  expect(batches).toEqual([['before'], ['claim', 'a', 'b'], ['c'], ['after']])
  expect(rider.isAboard).toBe(true)
})

test('waits for a batch that is written', async () => {
  let isFirst = true
  const { database, ride, rider, batches } = setup((sql) => {
    if (sql !== 'a' || !isFirst) return undefined
    isFirst = false
    return 'guard'
  })
  await ride(rider, async () => {
    await expect(database.write([statement('a')])).rejects.toMatchObject({ name: 'WriteConflict', constraint: 'guard' })
    expect(rider.isAboard).toBe(false)
    await database.write([statement('a')])
  })
  expect(batches).toEqual([['claim', 'a']])
})

test('is in one batch when two are written at the same time', async () => {
  const { database, ride, rider, batches } = setup()
  await ride(rider, () => Promise.all([database.write([statement('a')]), database.write([statement('b')])]))
  expect(batches).toEqual([['claim', 'a'], ['b']])
})

test('says by an error of its own that it was refused', async () => {
  const { database, ride, rider, batches } = setup((sql) => (sql === 'claim' ? 'claim_pkey' : undefined))
  await expect(ride(rider, () => database.write([statement('a')]))).rejects.toBeInstanceOf(RiderRefused)
  expect(batches).toEqual([])
})

test('does not go with what is written when the work is over', async () => {
  const { database, ride, rider, batches } = setup()
  let late: Promise<number[]> | undefined
  await ride(rider, async () => {
    late = new Promise((resolve) => setTimeout(() => resolve(database.write([statement('late')])), 5))
  })
  await late
  expect(batches).toEqual([['late']])
  expect(rider.isAboard).toBe(false)
})

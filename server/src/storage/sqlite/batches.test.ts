import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { SqlValue, Statement } from '../database.ts'
import { openDatabase } from '../open-database.ts'
import { type BatchMessage, createBatchWriter, readBatches } from './batches.ts'

type Arrived = { id: number; batch: { sql: string; guard: string | null; parameters: SqlValue[] }[] | 'scrub' }

/** What the thread that writes makes of the messages, after the copy that crossing to it is. */
function createReceiver() {
  let texts: string[] = []
  return (sent: BatchMessage): Arrived[] => {
    const message = structuredClone(sent)
    if (message.isFresh) texts = []
    texts.push(...message.texts)
    return readBatches(message).map(({ id, isScrub, forEach }) => {
      if (isScrub) return { id, batch: 'scrub' }
      const batch: Exclude<Arrived['batch'], 'scrub'> = []
      forEach((number, guard, parameters) => batch.push({ sql: texts[number] as string, guard, parameters }))
      return { id, batch }
    })
  }
}

const value = fc.oneof(fc.string(), fc.integer(), fc.double({ noNaN: true }), fc.constant(null))
/** Statements whose texts are numbered from `from` on, of up to 5,000: ten times what is remembered. */
const batch = fc
  .record({ from: fc.nat({ max: 5_000 }), count: fc.nat({ max: 60 }), values: fc.array(value, { maxLength: 5 }) })
  .map(({ from, count, values }): Statement[] =>
    Array.from({ length: count }, (_, i) => ({
      sql: `update t set a = ${from + i}`,
      parameters: values.slice(i % 6),
      ...(i % 3 === 0 && { guard: `guard_${i}` }),
    })),
  )
const work = fc.oneof({ weight: 9, arbitrary: batch }, { weight: 1, arbitrary: fc.constant('scrub' as const) })
const messages = fc.array(fc.array(work, { minLength: 1, maxLength: 4 }), { maxLength: 20 })

function arrive(id: number, one: Statement[] | 'scrub'): Arrived {
  if (one === 'scrub') return { id, batch: 'scrub' }
  return {
    id,
    batch: one.map(({ sql, guard, parameters }) => ({ sql, guard: guard ?? null, parameters: [...parameters] })),
  }
}

test('what is gathered arrives as it was, over many messages', () => {
  fc.assert(
    fc.property(messages, (all) => {
      const writer = createBatchWriter()
      const receive = createReceiver()
      let id = 0
      for (const message of all) {
        expect(writer.isEmpty()).toBe(true)
        const expected = message.map((one) => {
          id++
          if (one === 'scrub') writer.addScrub(id)
          else writer.add(id, one)
          return arrive(id, one)
        })
        expect(writer.isEmpty()).toBe(false)
        expect(receive(writer.take())).toEqual(expected)
      }
    }),
    // Making thousands of statements fewer would take a minute.
    { endOnFailure: true },
  )
})

test('a text crosses once, and again only after 500 others', () => {
  const writer = createBatchWriter()
  const receive = createReceiver()
  const send = (from: number, count: number) => {
    const batch = Array.from({ length: count }, (_, i) => ({ sql: `select ${from + i}`, parameters: [i] }))
    writer.add(1, batch)
    const message = writer.take()
    expect(receive(message)).toEqual([arrive(1, batch)])
    return { texts: message.texts.length, isFresh: message.isFresh }
  }
  expect(send(0, 10)).toEqual({ texts: 10, isFresh: false })
  for (let round = 0; round < 5; round++) expect(send(0, 10)).toEqual({ texts: 0, isFresh: false })
  expect(send(10, 500)).toEqual({ texts: 500, isFresh: false })
  // The numbers begin anew behind the message that brought more than 500.
  expect(send(0, 10)).toEqual({ texts: 10, isFresh: true })
  expect(send(0, 10)).toEqual({ texts: 0, isFresh: false })
})

test('a file is written as it was said, with more texts than are remembered and several messages under way', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'dramatis-test-'))
  const database = await openDatabase(
    { kind: 'sqlite', file: join(directory, 'a.db') },
    { asServer: true, log: () => {} },
  )
  const insert = (n: number): Statement => ({
    sql: `insert into organization (id, name, token_secret, created_at) values (?, 'the ${n}th', ?, ${n})`,
    parameters: [String(n).padStart(5, '0'), '\u{1f408}'],
  })
  const rename = (n: number): Statement => ({
    sql: `update organization set name = name || ?1 || ${n % 700} where id = ?2`,
    parameters: [' and ', String(n).padStart(5, '0')],
    guard: 'organization_exists',
  })
  const written: Promise<number[]>[] = []
  for (let n = 0; n < 1_500; n++) {
    written.push(database.write([insert(n), rename(n)]))
    // Each turn of the loop is a message, and some come while the one before is being written.
    if (n % 50 === 0) await new Promise((resolve) => setImmediate(resolve))
  }
  expect(new Set((await Promise.all(written)).map(String))).toEqual(new Set(['1,1']))
  const rows = await database.scan<{ id: string; name: string; created_at: number }>(
    database.dialect.builder.selectFrom('organization').select(['id', 'name', 'created_at']).orderBy('id').compile(),
    'somebody',
  )
  expect(rows.map(({ id, name, created_at }) => `${id} ${name} ${created_at}`)).toEqual(
    Array.from({ length: 1_500 }, (_, n) => `${String(n).padStart(5, '0')} the ${n}th and ${n % 700} ${n}`),
  )
  await database.close()
  rmSync(directory, { recursive: true, force: true })
})

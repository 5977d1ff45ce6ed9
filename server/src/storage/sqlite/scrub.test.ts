import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as wait } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { databaseKinds } from '../../../../test/support/databases.ts'
import type { Database } from '../database.ts'
import { openDatabase } from '../open-database.ts'
import { type Parameters, prepareWrite } from '../prepare.ts'
import { gapsOf } from './gaps.ts'

const OWNER = '01890000-0000-7000-8000-00000000000a'
const CANARY = 'canary-0815'

const insert = prepareWrite((db, p: Parameters<{ conversation: string; id: string; content: string }>) =>
  db.insertInto('message').values({
    organization_id: OWNER,
    conversation_id: p('conversation'),
    id: p('id'),
    role: 'user',
    content: p('content'),
    prompt_tokens: 0,
    completion_tokens: 0,
    created_at: 1,
  }),
)
const remove = prepareWrite((db, p: Parameters<{ id: string }>) => db.deleteFrom('message').where('id', '=', p('id')))

const anywhere = (most: number) => Math.floor(Math.random() * most)

/** Rows of many conversations in disorder, so that pages split; gives back those with the canary. */
async function fill(database: Database, batches: number, canary: string): Promise<string[]> {
  const conversations = Array.from({ length: 200 }, () => randomUUID())
  const ours: string[] = []
  for (let batch = 0; batch < batches; batch++) {
    const rows = Array.from({ length: 20 }, () => {
      const at = anywhere(conversations.length)
      const id = randomUUID()
      if (at % 4 === 0) ours.push(id)
      const content = `${at % 4 === 0 ? canary : 'another'} `.repeat(1 + anywhere(at % 2 ? 60 : 500))
      return insert(database, { conversation: conversations[at] as string, id, content })
    })
    await database.write(rows)
  }
  return ours
}

const sqlite = databaseKinds.find(({ name }) => name === 'sqlite')

test('goes on between the writes of others, and what those have moved is clean too', async () => {
  const place = (await sqlite?.create()) as Awaited<ReturnType<NonNullable<typeof sqlite>['create']>>
  const file = place.location.kind === 'sqlite' ? place.location.file : ''
  const database = await openDatabase(place.location, { asServer: true, log: () => {} })
  // As the command line does, which writes beside a server.
  const beside = await openDatabase(place.location, { asServer: false, log: () => {} })
  for (let round = 0; round < 3; round++) {
    const canary = `${CANARY}-${round}`
    const ours = await fill(database, 300, canary)
    let isOver = false
    let writes = 0
    const others = async (through: Database, pauseMs: number) => {
      while (!isOver) {
        try {
          const rows = await fill(through, 1, 'theirs')
          // Pages become free, and are taken again.
          await through.write(rows.map((id) => remove(through, { id })))
          writes++
        } catch (error) {
          // SQLite has no line for those who wait: on a busy machine one may come too late each time, and tries again.
          if (!/is locked/.test(String(error))) throw error
        }
        await wait(pauseMs)
      }
    }
    const busy = [others(database, 10), others(database, 15), others(beside, 50)]
    await database.write(ours.map((id) => remove(database, { id })))
    const before = writes
    await database.scrub(['message'])
    expect(writes - before).toBeGreaterThan(3)
    // Before anybody else has stopped.
    expect([file, `${file}-wal`].filter((one) => readFileSync(one).includes(canary))).toEqual([])
    isOver = true
    await Promise.all(busy)
  }
  await beside.close()
  await database.close()
  // Nor has anybody brought it back that knew the pages as they were.
  expect(readFileSync(file).includes(CANARY)).toBe(false)
  const connection = new DatabaseSync(file)
  expect(connection.prepare('pragma integrity_check').all()).toEqual([{ integrity_check: 'ok' }])
  expect(
    connection.prepare("select count(*) as n from message where content like 'another%'").get()?.['n'],
  ).toBeGreaterThan(1_000)
  connection.close()
  await place.remove()
})

test('one pass serves all that come before it is over', async () => {
  const place = (await sqlite?.create()) as Awaited<ReturnType<NonNullable<typeof sqlite>['create']>>
  const file = place.location.kind === 'sqlite' ? place.location.file : ''
  const database = await openDatabase(place.location, { asServer: true, log: () => {} })
  const ours = await fill(database, 100, CANARY)
  const half = ours.splice(0, ours.length / 2)
  await database.write(half.map((id) => remove(database, { id })))
  const first = database.scrub(['message'])
  await database.write(ours.map((id) => remove(database, { id })))
  await Promise.all([first, database.scrub(['message']), database.scrub(['message'])])
  expect([file, `${file}-wal`].filter((one) => readFileSync(one).includes(CANARY))).toEqual([])
  await database.close()
  await place.remove()
})

/** A page of 512 bytes. */
function pageWith(type: number, fields: { freeblock?: number; cells?: number; content: number }): Buffer {
  const page = Buffer.alloc(512, 0xaa)
  page[0] = type
  page.writeUInt16BE(fields.freeblock ?? 0, 1)
  page.writeUInt16BE(fields.cells ?? 0, 3)
  page.writeUInt16BE(fields.content, 5)
  return page
}

test('a gap is what lies between the pointers and the cells, and what is free among these', () => {
  expect(gapsOf(pageWith(13, { cells: 3, content: 400 }), 512)).toEqual([[14, 400]])
  expect(gapsOf(pageWith(5, { cells: 3, content: 400 }), 512)).toEqual([[18, 400]])
  const page = pageWith(10, { cells: 1, content: 300, freeblock: 320 })
  page.writeUInt16BE(0, 320)
  page.writeUInt16BE(40, 322)
  expect(gapsOf(page, 512)).toEqual([
    [10, 300],
    [324, 360],
  ])
})

test('what is no page of a tree, or none that can be understood, is left alone', () => {
  for (const type of [0, 1, 3, 6, 255]) expect(gapsOf(pageWith(type, { cells: 1, content: 400 }), 512)).toEqual([])
  expect(gapsOf(pageWith(13, { cells: 300, content: 400 }), 512)).toEqual([])
  expect(gapsOf(pageWith(13, { cells: 1, content: 600 }), 512)).toEqual([])
  const looping = pageWith(13, { cells: 1, content: 300, freeblock: 320 })
  looping.writeUInt16BE(320, 320)
  looping.writeUInt16BE(40, 322)
  expect(gapsOf(looping, 512)).toEqual([])
  expect(gapsOf(pageWith(13, { cells: 1, content: 300, freeblock: 511 }), 512)).toEqual([])
})

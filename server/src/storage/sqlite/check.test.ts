import { randomBytes } from 'node:crypto'
import { closeSync, openSync, statSync, writeSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { expect, test } from 'vitest'
import { databaseKinds } from '../../../../test/support/databases.ts'
import { openSqlite } from './sqlite.ts'

const sqlite = databaseKinds[0] as (typeof databaseKinds)[number]

/** A file with some pages of rows whose last server was killed, as far as can be seen. */
async function makeUnclean(spoil?: (file: string) => void) {
  const place = await sqlite.create()
  const file = place.location.kind === 'sqlite' ? place.location.file : ''
  await (await openSqlite({ file, asServer: true, log: () => {} })).close()
  const connection = new DatabaseSync(file)
  connection.exec('create table filler (content text) strict')
  for (let n = 0; n < 200; n++)
    connection.prepare('insert into filler values (?)').run(randomBytes(500).toString('hex'))
  connection.close()
  const lock = new DatabaseSync(`${file}.lock`)
  lock.exec('pragma user_version = 1')
  lock.close()
  spoil?.(file)
  return { place, file }
}

async function openAndWait(file: string, checkedFirst: number): Promise<string[]> {
  const said: string[] = []
  const database = await openSqlite({ file, asServer: true, log: (message) => said.push(message), checkedFirst })
  // It is served meanwhile.
  await database.write([])
  await database.close()
  return said
}

test('a small file whose server was killed is checked before it is served', async () => {
  const { place, file } = await makeUnclean()
  expect(await openAndWait(file, 1e9)).toEqual([expect.stringContaining('was checked and is sound')])
  await place.remove()
})

test('a large one is checked beside the serving', async () => {
  const { place, file } = await makeUnclean()
  expect(await openAndWait(file, 0)).toEqual([
    expect.stringContaining('is being checked while it is served'),
    expect.stringContaining('was checked and is sound'),
  ])
  await place.remove()
})

test('and what is wrong with it is said', async () => {
  const { place, file } = await makeUnclean((spoiled) => {
    const descriptor = openSync(spoiled, 'r+')
    writeSync(descriptor, Buffer.alloc(4_096, 0x5a), 0, 4_096, statSync(spoiled).size - 40_960)
    closeSync(descriptor)
  })
  expect((await openAndWait(file, 0)).at(-1)).toMatch(/is damaged/)
  await expect(openSqlite({ file, asServer: true, log: () => {}, checkedFirst: 1e9 })).resolves.toBeTruthy()
  await place.remove()
})

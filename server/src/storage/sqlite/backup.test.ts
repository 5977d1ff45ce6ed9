import {
  chmodSync,
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type Database, StorageError } from '../database.ts'
import { openDatabase } from '../open-database.ts'
import { prepareRead, prepareWrite } from '../prepare.ts'
import { backupSqlite, holdsServerLock, restoreSqlite } from './backup.ts'
import { inspectSqlite } from './inspect.ts'
import { acquireServerLock } from './lock.ts'

const insertOrganization = prepareWrite<{ id: string }>((db, p) =>
  db.insertInto('organization').values({ id: p('id'), name: 'n', token_secret: 's', created_at: 1 }),
)
const organizationIds = prepareRead((db) => db.selectFrom('organization').select('id').orderBy('id'))

let directory: string
let file: string
let copy: string

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'dramatis-test-'))
  file = join(directory, 'data.db')
  copy = join(directory, 'copy.db')
})
afterEach(() => rmSync(directory, { recursive: true, force: true }))

const open = (at = file) => openDatabase({ kind: 'sqlite', file: at }, { asServer: false, log: () => {} })
const idOf = (n: number) => `01890000-0000-7000-8000-${String(n).padStart(12, '0')}`
const insert = (database: Database, n: number) => database.write([insertOrganization(database, { id: idOf(n) })])

async function withDatabase<T>(at: string, work: (database: Database) => Promise<T>): Promise<T> {
  const database = await open(at)
  try {
    return await work(database)
  } finally {
    await database.close()
  }
}
const idsIn = (at: string) => withDatabase(at, async (db) => (await organizationIds(db, {})).map(({ id }) => id))

test('a backup is one moment of a database that is being written', async () => {
  const counts = await withDatabase(file, async (database) => {
    for (let n = 0; n < 100; n++) await insert(database, n)
    // The thread that writes goes on while this one makes the backup.
    const later = Array.from({ length: 3_000 }, async (_, i) => {
      await new Promise((resolve) => setImmediate(resolve))
      await insert(database, 100 + i)
    })
    await later[0]
    backupSqlite({ file, target: copy, overwrite: false })
    await Promise.all(later)
    return (await organizationIds(database, {})).length
  })
  expect(counts).toBe(3_100)
  const ids = await idsIn(copy)
  expect(ids.length).toBeGreaterThan(100)
  expect(ids).toEqual(ids.map((_, n) => idOf(n)))
})

test('a backup is for its owner only, in one file, and says its size', async () => {
  await withDatabase(file, (database) => insert(database, 1))
  const { bytes } = backupSqlite({ file, target: copy, overwrite: false })
  expect(statSync(copy)).toMatchObject({ size: bytes })
  expect(statSync(copy).mode & 0o777).toBe(0o600)
  expect(readdirSync(directory).filter((name) => name.startsWith('copy'))).toEqual(['copy.db'])
  expect(inspectSqlite(copy)).toMatchObject({ migration: expect.any(Number), damage: null, fault: null })
  expect(inspectSqlite(copy).migration).toBeGreaterThan(0)
})

test('a log that is left of an older backup is not applied to the new one', async () => {
  await withDatabase(file, (database) => insert(database, 1))
  backupSqlite({ file, target: copy, overwrite: false })
  const database = await open(copy)
  await insert(database, 2)
  for (const suffix of ['', '-wal']) copyFileSync(copy + suffix, `${copy}.crashed${suffix}`)
  await database.close()
  for (const suffix of ['', '-wal']) renameSync(`${copy}.crashed${suffix}`, copy + suffix)
  backupSqlite({ file, target: copy, overwrite: true })
  expect(await idsIn(copy)).toEqual([idOf(1)])
})

test('a restore clears away what a killed one has left, and nothing else', async () => {
  await withDatabase(file, (database) => insert(database, 1))
  backupSqlite({ file, target: copy, overwrite: false })
  const leftovers = ['data.db.0123abcd.partial', 'data.db.0123abcd.partial-journal']
  const others = [
    'data.db.old',
    'data.db.mine.0123abcd.partial',
    'copy.db.0123abcd.partial',
    'xdata.db.0123abcd.partial',
  ]
  for (const name of [...leftovers, ...others]) writeFileSync(join(directory, name), '')
  restoreSqlite({ file, source: copy, replace: true, at: 0 })
  const names = readdirSync(directory)
  expect(names).toEqual(expect.arrayContaining(others))
  expect(names.filter((name) => leftovers.includes(name))).toEqual([])
})

test('a restore makes the folder, and the file where there was none', async () => {
  await withDatabase(file, (database) => insert(database, 1))
  backupSqlite({ file, target: copy, overwrite: false })
  const place = join(directory, 'new', 'folder', 'data.db')
  expect(restoreSqlite({ file: place, source: copy, replace: false, at: 0 })).toMatchObject({ former: null })
  expect(await idsIn(place)).toEqual([idOf(1)])
})

test('a log that was left behind is not applied to the new file', async () => {
  await withDatabase(file, (database) => insert(database, 1))
  backupSqlite({ file, target: copy, overwrite: false })
  const database = await open()
  await insert(database, 2)
  const place = join(directory, 'elsewhere.db')
  renameSync(`${file}-wal`, `${place}-wal`)
  await database.close()
  restoreSqlite({ file: place, source: copy, replace: false, at: 0 })
  expect(existsSync(`${place}-wal`)).toBe(false)
  expect(await idsIn(place)).toEqual([idOf(1)])
})

test('a restore follows a link, keeps permissions, and keeps the old file whole', async () => {
  const real = join(directory, 'volume', 'real.db')
  mkdirSync(join(directory, 'volume'))
  symlinkSync(real, file)
  await withDatabase(file, (database) => insert(database, 1))
  chmodSync(real, 0o640)
  backupSqlite({ file, target: copy, overwrite: false })
  await withDatabase(file, (database) => insert(database, 2))
  const { former } = restoreSqlite({ file, source: copy, replace: true, at: Date.parse('2026-01-02T03:04:05.678Z') })
  expect(former).toBe(`${real}.before-restore-2026-01-02T03-04-05-678Z`)
  expect(lstatSync(file).isSymbolicLink()).toBe(true)
  expect(statSync(real).mode & 0o777).toBe(0o640)
  expect(await idsIn(file)).toEqual([idOf(1)])
  expect(await idsIn(former as string)).toEqual([idOf(1), idOf(2)])
})

test('a restore refuses while anybody has the database open, and leaves all as it was', async () => {
  await withDatabase(file, (database) => insert(database, 1))
  backupSqlite({ file, target: copy, overwrite: false })
  const request = { file, source: copy, replace: true, at: 0 }
  const reader = new DatabaseSync(file)
  reader.prepare('select * from organization').all()
  expect(() => restoreSqlite(request)).toThrow(/another process has \S+data\.db open/)
  reader.close()
  const lock = acquireServerLock(file)
  expect(() => restoreSqlite(request)).toThrow(/a Dramatis server is using/)
  lock.release()
  expect(readdirSync(directory).filter((name) => /partial|before/.test(name))).toEqual([])
  expect(restoreSqlite(request).former).not.toBeNull()
})

test('a restore leaves word that the file was checked, a refusal that it was not', async () => {
  await withDatabase(file, (database) => insert(database, 1))
  backupSqlite({ file, target: copy, overwrite: false })
  acquireServerLock(file).releaseAsUnclean()
  const wasUnclean = () => {
    const lock = acquireServerLock(file)
    lock.releaseAsUnclean()
    return lock.wasUnclean
  }
  expect(() => restoreSqlite({ file, source: copy, replace: false, at: 0 })).toThrow(/--force/)
  expect(wasUnclean()).toBe(true)
  restoreSqlite({ file, source: copy, replace: true, at: 0 })
  expect(wasUnclean()).toBe(false)
})

test('a backup does not replace the database of another server', async () => {
  await withDatabase(file, (database) => insert(database, 1))
  await withDatabase(copy, (database) => insert(database, 2))
  const lock = acquireServerLock(copy)
  const request = { file, target: copy, overwrite: true }
  expect(() => backupSqlite(request)).toThrow(/a Dramatis server is using \S+copy\.db/)
  lock.release()
  expect(await idsIn(copy)).toEqual([idOf(2)])
  writeFileSync(`${copy}.lock`, 'a file of somebody else')
  backupSqlite(request)
  expect(await idsIn(copy)).toEqual([idOf(1)])
})

test('looking for a server leaves no trace', () => {
  expect(holdsServerLock(file)).toBe(false)
  expect(readdirSync(directory)).toEqual([])
  const first = acquireServerLock(file)
  expect(holdsServerLock(file)).toBe(true)
  first.release()
  expect(holdsServerLock(file)).toBe(false)
  const second = acquireServerLock(file)
  expect(second.wasUnclean).toBe(false)
  second.releaseAsUnclean()
  expect(holdsServerLock(file)).toBe(false)
})

test('what cannot be read is not backed up', async () => {
  expect(() => backupSqlite({ file, target: copy, overwrite: false })).toThrow(StorageError)
  new DatabaseSync(file).exec('create table t (x)')
  expect(() => backupSqlite({ file, target: copy, overwrite: false })).toThrow(`${file} is not a Dramatis database`)
  expect(readdirSync(directory)).toEqual(['data.db'])
})

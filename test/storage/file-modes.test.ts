import { execFileSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createFileBlobs } from '../../server/src/blobs/file-blobs.ts'
import { isOpenToAll, makePrivateFile } from '../../server/src/lib/process/private-files.ts'
import { openDatabase } from '../../server/src/storage/open-database.ts'
import { ADMIN_KEY, createConversation, serve } from '../support/app.ts'
import { createLong, SMALL_ARCHIVE } from '../support/archive.ts'
import type { TestDatabase } from '../support/databases.ts'
import { environmentOf, runCli, startServer } from '../support/process.ts'

const modeOf = (path: string) => statSync(path).mode & 0o777

/** Everything below a folder and the folder itself, with what others may do with it. */
function openBelow(folder: string): string[] {
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' })
  return [folder, ...names.map((name) => join(folder, name))].filter((path) => (modeOf(path) & 0o077) !== 0)
}

describe.skipIf(process.platform === 'win32')('on a machine with several users', () => {
  let outside: string
  let place: TestDatabase
  beforeEach(() => {
    // As it often is: everybody may pass through.
    outside = mkdtempSync(join(tmpdir(), 'dramatis-test-'))
    chmodSync(outside, 0o755)
    const directory = join(outside, 'data')
    const file = join(directory, 'dramatis.db')
    place = { directory, url: `file:${file}`, location: { kind: 'sqlite', file }, remove: async () => {} }
  })
  afterEach(() => rmSync(outside, { recursive: true, force: true }))

  test('all that a server makes is closed from its first moment on', async () => {
    const server = await serve(place, SMALL_ARCHIVE)
    try {
      await createConversation(server)
      await createLong(server, 150)
      await server.app.archiver.round()
      // The files that SQLite makes beside the database, while it is open.
      for (const suffix of ['', '-wal', '-shm', '.lock']) {
        expect([suffix, modeOf(join(place.directory, `dramatis.db${suffix}`))]).toEqual([suffix, 0o600])
      }
      expect(readdirSync(place.directory)).toContain('blobs')
      expect(openBelow(place.directory)).toEqual([])
    } finally {
      await server.close()
    }
    expect(openBelow(place.directory)).toEqual([])
  })

  test('so is what the command line makes: a backup, a restored database, a database of its own', async () => {
    const env = environmentOf(place, { DRAMATIS_API_KEY: ADMIN_KEY })
    expect((await runCli(['organizations', 'create', 'Mine'], env)).code).toBe(0)
    const backup = join(outside, 'backup.db')
    expect((await runCli(['backup', backup], env)).code).toBe(0)
    const elsewhere = join(outside, 'new', 'folder')
    const restored = { ...env, DRAMATIS_DATA_DIR: elsewhere, DRAMATIS_DATABASE_URL: `file:${elsewhere}/other.db` }
    expect((await runCli(['restore', backup], restored)).code).toBe(0)
    expect(existsSync(join(elsewhere, 'other.db'))).toBe(true)
    expect([backup, place.directory, join(outside, 'new')].flatMap(openAt)).toEqual([])
  })
  const openAt = (path: string) => (statSync(path).isDirectory() ? openBelow(path) : modeOf(path) & 0o077 ? [path] : [])

  test('a log beside a database has the rights of the database, whatever they are', async () => {
    mkdirSync(place.directory)
    const file = join(place.directory, 'dramatis.db')
    writeFileSync(file, '', { mode: 0o640 })
    chmodSync(file, 0o640)
    const database = await openDatabase(place.location, { asServer: false, log: () => {} })
    await database.write([])
    expect([modeOf(file), modeOf(`${file}-wal`), modeOf(`${file}-shm`)]).toEqual([0o640, 0o640, 0o640])
    await database.close()
  })

  test('blobs and their folders are closed although the folder above is not', async () => {
    const directory = join(outside, 'blobs')
    await createFileBlobs(directory).put('a/b/c.gz', Buffer.from('x'), { contentType: 'text/plain' })
    expect(openBelow(directory)).toEqual([])
  })

  test('what was left open is said at the start and by the doctor, with the command that closes it', async () => {
    const first = await startServer(place)
    first.kill('SIGTERM')
    const { stdout } = await first.ended
    expect(stdout).not.toContain('every user of this machine')
    const file = join(place.directory, 'dramatis.db')
    chmodSync(place.directory, 0o755)
    chmodSync(file, 0o644)
    mkdirSync(join(place.directory, "it's models"))
    const second = await startServer(place, { DRAMATIS_BLOB_URL: `file:${place.directory}/it's models` })
    chmodSync(join(place.directory, "it's models"), 0o755)
    const doctor = await runCli(
      ['doctor'],
      environmentOf(place, { DRAMATIS_BLOB_URL: `file:${place.directory}/it's models` }),
    )
    const [, command = ''] = /"(chmod -R o-rwx .*)" ends that/.exec(doctor.stdout) ?? []
    expect(doctor.stdout).toMatch(/note {2}rights/)
    expect(command).toContain(`'${file}'`)
    expect(command).toContain("it'\\''s models'")
    // It is a command that can be pasted.
    execFileSync('sh', ['-c', command])
    second.kill('SIGTERM')
    expect((await second.ended).stdout).toContain('every user of this machine can read data of this server')
    const closed = await runCli(
      ['doctor'],
      environmentOf(place, { DRAMATIS_BLOB_URL: `file:${place.directory}/it's models` }),
    )
    expect(closed.stdout).toMatch(/ok {4}rights/)
  })

  test('what nobody can get to is not open', () => {
    const folder = join(outside, 'closed')
    mkdirSync(folder, { mode: 0o700 })
    const file = join(folder, 'file')
    writeFileSync(file, '')
    chmodSync(file, 0o644)
    expect(isOpenToAll(file)).toBe(false)
    chmodSync(folder, 0o711)
    expect(isOpenToAll(file)).toBe(isOpenToAll(outside))
    expect(isOpenToAll(join(folder, 'nothing'))).toBe(false)
    // One that is there stays as it is.
    makePrivateFile(file)
    expect(modeOf(file)).toBe(0o644)
  })
})

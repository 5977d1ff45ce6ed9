import { copyFileSync, existsSync, readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { databaseKinds, type TestDatabase } from '../support/databases.ts'
import { environmentOf, runCli, type ServerProcess, startServer } from '../support/process.ts'

const [sqlite, postgres] = databaseKinds

type Personas = { data: { personaName: string; personaDescription: string }[]; continuationToken: string | null }

const persona = (personaName: string, personaText = '') => ({
  personaName,
  personaDescription: 'x',
  aiSystem: 'rehearsal',
  model: 'rehearsal',
  personaText,
})

async function personaNames(server: ServerProcess): Promise<string[]> {
  const names: string[] = []
  let token = ''
  do {
    const { body } = await server.call('GET', `/personas?pageSize=100&continuationToken=${token}`)
    names.push(...(body as Personas).data.map(({ personaName }) => personaName))
    token = (body as Personas).continuationToken ?? ''
  } while (token !== '')
  return names
}

describe('backup and restore', () => {
  let here: TestDatabase
  let there: TestDatabase
  const running: ServerProcess[] = []

  beforeEach(async () => {
    here = await (sqlite as NonNullable<typeof sqlite>).create()
    there = await (sqlite as NonNullable<typeof sqlite>).create()
  })
  afterEach(async () => {
    for (const server of running.splice(0)) {
      server.kill('SIGKILL')
      await server.ended
    }
    await here.remove()
    await there.remove()
  })

  async function start(place: TestDatabase): Promise<ServerProcess> {
    const server = await startServer(place, { DRAMATIS_LOG_LEVEL: 'warn' })
    running.push(server)
    return server
  }
  async function stop(server: ServerProcess): Promise<void> {
    server.kill('SIGTERM')
    await server.ended
  }
  const on = (place: TestDatabase, ...args: string[]) => runCli(args, environmentOf(place))

  test('a backup under write load holds everything that was acknowledged before it', async () => {
    const server = await start(here)
    for (let i = 0; i < 30; i++) await server.call('POST', '/personas', persona(`large ${i}`, 'x'.repeat(400_000)))
    const acknowledged: string[] = []
    let isDone = false
    const writers = Array.from({ length: 4 }, async (_, writer) => {
      for (let i = 0; !isDone; i++) {
        const name = `w${writer} ${i}`
        const { status } = await server.call('POST', '/personas', persona(name))
        if (status === 200) acknowledged.push(name)
      }
    })
    await expect.poll(() => acknowledged.length).toBeGreaterThan(50)

    const before = [...acknowledged]
    const file = join(there.directory, 'copy.db')
    expect(await on(here, 'backup', file)).toMatchObject({
      code: 0,
      stderr: '',
      stdout: expect.stringContaining('MiB'),
    })
    expect(acknowledged.length).toBeGreaterThan(before.length)
    isDone = true
    await Promise.all(writers)

    expect(await on(there, 'restore', file)).toMatchObject({ code: 0, stderr: '' })
    const names = new Set(await personaNames(await start(there)))
    expect(before.filter((name) => !names.has(name))).toEqual([])
    expect([...names].filter((name) => /^large/.test(name))).toHaveLength(30)
    // Each writer waits for its answer, so what is there of it has no gap.
    for (let writer = 0; writer < 4; writer++) {
      const mine = [...names].filter((name) => name.startsWith(`w${writer} `)).map((name) => Number(name.split(' ')[1]))
      expect(mine.toSorted((a, b) => a - b)).toEqual(mine.map((_, i) => i))
    }
  })

  test('a restore brings the old state back and keeps the new one beside it', async () => {
    const server = await start(here)
    await server.call('POST', '/personas', persona('kept'))
    const file = join(there.directory, 'copy.db')
    await on(here, 'backup', file)
    await server.call('POST', '/personas', persona('later'))
    // Killed, so that the last write stands in the log only.
    server.kill('SIGKILL')
    await server.ended
    expect(existsSync(join(here.directory, 'dramatis.db-wal'))).toBe(true)

    const hesitant = await on(here, 'restore', file)
    expect(hesitant).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^dramatis restore: there is a database at .*--force.*\n$/),
    })
    const restored = await on(here, 'restore', file, '--force')
    expect(restored).toMatchObject({ code: 0, stderr: '' })
    const former = /kept as (\S+)\.\n$/.exec(restored.stdout)?.[1] ?? ''
    expect(former).toMatch(/dramatis\.db\.before-restore-\d{4}-\d\d-\d\dT[\d-]+Z$/)
    expect(readdirSync(here.directory).filter((name) => /^dramatis\.db-/.test(name))).toEqual([])

    const again = await start(here)
    const names = await personaNames(again)
    expect(names).toContain('kept')
    expect(names).not.toContain('later')
    await stop(again)
    expect(await on(here, 'restore', former, '--force')).toMatchObject({ code: 0 })
    expect(await personaNames(await start(here))).toEqual(expect.arrayContaining(['kept', 'later']))
  })

  test('a restore refuses while a server owns the file, and the server notices nothing', async () => {
    const server = await start(here)
    const file = join(there.directory, 'copy.db')
    await on(here, 'backup', file)
    const refused = await on(here, 'restore', file, '--force')
    expect(refused).toMatchObject({
      code: 1,
      stdout: '',
      stderr: expect.stringMatching(/^dramatis restore: a Dramatis server is using .*\n$/),
    })
    expect((await server.call('POST', '/personas', persona('after'))).status).toBe(200)
    expect(readdirSync(here.directory).filter((name) => /restore|partial/.test(name))).toEqual([])
  })

  test('a restore refuses what is no sound database of ours, and changes nothing', async () => {
    const server = await start(here)
    await server.call('POST', '/personas', persona('kept', 'x'.repeat(50_000)))
    const good = join(there.directory, 'good.db')
    await on(here, 'backup', good)
    await stop(server)
    const make = (name: string, spoil: (file: string) => void) => {
      const file = join(there.directory, name)
      copyFileSync(good, file)
      spoil(file)
      return file
    }
    const cases: [string, RegExp][] = [
      [join(there.directory, 'absent.db'), /there is no file/],
      [there.directory, /is not a file/],
      [
        make('text.db', (file) => writeFileSync(file, 'just some text, long enough to be read as a header of a file')),
        /is not a Dramatis database/,
      ],
      [make('empty.db', (file) => writeFileSync(file, '')), /is not a Dramatis database/],
      [make('other.db', (file) => edit(file, 'pragma application_id = 7')), /is not a Dramatis database/],
      [make('newer.db', (file) => edit(file, "insert into migration values (999, 'future', 1)")), /at migration 999/],
      [make('cut.db', (file) => truncateSync(file, 40_960)), /is damaged/],
      [
        make('scratched.db', (file) =>
          edit(file, 'pragma writable_schema = on; update sqlite_schema set rootpage = 3 where rootpage = 4'),
        ),
        /is damaged/,
      ],
      [join(here.directory, 'dramatis.db'), /is the database itself/],
    ]
    for (const [file, sentence] of cases) {
      const refused = await on(here, 'restore', file, '--force')
      expect({ file, ...refused }).toMatchObject({
        file,
        code: 1,
        stdout: '',
        stderr: expect.stringMatching(/^dramatis restore: [^\n]*\n$/),
      })
      expect(refused.stderr).toMatch(sentence)
    }
    expect(readdirSync(here.directory).filter((name) => /restore|partial/.test(name))).toEqual([])
    expect(await personaNames(await start(here))).toContain('kept')
  })

  test('a damaged database is replaced, kept as it is, and its log does not touch the new one', async () => {
    const server = await start(here)
    const file = join(there.directory, 'copy.db')
    await on(here, 'backup', file)
    await stop(server)
    const scrambled = 'scrambled, and long enough to be taken for the header of a file, which it is not\n'.repeat(200)
    writeFileSync(join(here.directory, 'dramatis.db'), scrambled)
    writeFileSync(join(here.directory, 'dramatis.db-wal'), scrambled)
    const doctor = await on(here, 'doctor')
    expect(doctor).toMatchObject({
      code: 1,
      stdout: expect.stringMatching(/BAD\s+database\s+.*is not a Dramatis database/),
    })
    const restored = await on(here, 'restore', file, '--force')
    expect(restored).toMatchObject({ code: 0, stderr: '' })
    const former = /kept as (\S+)\.\n$/.exec(restored.stdout)?.[1] ?? ''
    expect(readFileSync(former, 'utf8')).toBe(scrambled)
    expect(existsSync(join(here.directory, 'dramatis.db-wal'))).toBe(false)
    expect((await on(here, 'doctor')).code).toBe(0)
    expect(await personaNames(await start(here))).toHaveLength(3)
  })

  test('a backup never harms what is there', async () => {
    const server = await start(here)
    const file = join(there.directory, 'copy.db')
    writeFileSync(file, 'precious')
    const refused = await on(here, 'backup', file)
    expect(refused).toMatchObject({ code: 1, stderr: expect.stringMatching(/copy\.db exists already: add --force/) })
    expect(await on(here, 'backup', file, '--force')).toMatchObject({ code: 0 })
    for (const own of ['dramatis.db', 'dramatis.db-wal', 'dramatis.db.lock']) {
      const itself = await on(here, 'backup', join(here.directory, own), '--force')
      expect(itself).toMatchObject({ code: 1, stderr: expect.stringMatching(/is the database itself/) })
    }
    const nowhere = await on(here, 'backup', join(there.directory, 'no/such/copy.db'))
    expect(nowhere).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/cannot be written: the folder does not exist/),
    })
    expect((await server.call('GET', '/personas')).status).toBe(200)
    await stop(server)
    expect(await on(here, 'backup', join(there.directory, 'stopped.db'))).toMatchObject({ code: 0 })
    expect(readdirSync(there.directory).filter((name) => /partial/.test(name))).toEqual([])
  })
})

test.runIf(postgres)('on PostgreSQL both name the tools to use', async () => {
  const place = await (postgres as NonNullable<typeof postgres>).create()
  const [backup, restore] = await Promise.all(
    [
      ['backup', 'x'],
      ['restore', 'x'],
    ].map((args) => runCli(args, environmentOf(place))),
  )
  expect(backup).toMatchObject({ code: 1, stderr: expect.stringMatching(/^dramatis backup: .*pg_dump.*\n$/) })
  expect(restore).toMatchObject({ code: 1, stderr: expect.stringMatching(/^dramatis restore: .*pg_restore.*\n$/) })
  await place.remove()
})

function edit(file: string, sql: string): void {
  const connection = new DatabaseSync(file, { enableForeignKeyConstraints: false, defensive: false })
  connection.exec(sql)
  connection.close()
}

import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, type TestContext, test } from 'vitest'
import { type RunningApp, serve, startApp } from '../support/app.ts'
import { PDF, upload } from '../support/attachments.ts'
import { onEveryDatabase } from '../support/databases.ts'
import { environmentOf, runCli } from '../support/process.ts'
import { kindOf, ownPostgresOrSkip } from './support/own-postgres.ts'
import { type FaultServer, serverEnvironment, spawnServer, startFaultServer, stop } from './support/server.ts'
import { diskOrSkip, mountFailingDisk, mountSmallDisk, placeOn } from './support/small-disk.ts'
import { call } from './support/wire.ts'
import { until } from './support/world.ts'

const REHEARSAL = { aiSystem: 'rehearsal', model: 'rehearsal' }
const NOWHERE = 'http://127.0.0.1:9'

const isReady = async (url: string) => (await call(url, 'GET', '/readyz')).status === 200

/** Waits until `/readyz` says so. */
function notReady(url: string, message: string): Promise<unknown> {
  return until(`/readyz says "${message}"`, async () => {
    const { status, text } = await call(url, 'GET', '/readyz')
    return status === 503 && text.includes(`"message":"${message}"`)
  })
}

/** Writes until a write is refused, and expects the refusal to have this message. */
async function expectRefusedWrite(url: string, message: string): Promise<void> {
  const body = { ...REHEARSAL, systemMessage: 'x'.repeat(50_000) }
  const refused = await until('a write is refused', async () => {
    const answer = await call(url, 'POST', '/conversations', body)
    return answer.status === 200 ? null : answer
  })
  expect(refused).toMatchObject({ status: 503, body: { error: { code: 'unavailable', message } } })
  expect(Number(refused.headers['retry-after'])).toBeGreaterThanOrEqual(1)
}

test('a full disk of the database makes the server not ready, with or without a write, until there is room', async (context) => {
  const disk = diskOrSkip(context, mountSmallDisk(64))
  const server = await startFaultServer(serverEnvironment(placeOn(disk.directory), NOWHERE))
  try {
    expect(await isReady(server.url)).toBe(true)
    disk.fill()
    await notReady(server.url, 'the disk of the database is full')
    await expectRefusedWrite(server.url, 'the disk of the database is full')
    await notReady(server.url, 'the disk of the database is full')
    expect((await call(server.url, 'GET', '/healthz')).status).toBe(200)
    disk.free()
    await until('it is ready again', () => isReady(server.url))
    expect((await call(server.url, 'POST', '/conversations', REHEARSAL)).status).toBe(200)
    expect(await stop(server)).toEqual({ code: 0, signal: null })
  } finally {
    await end(server)
    disk.remove()
  }
})

onEveryDatabase('the disk of the files', (kind) => {
  const withDisk = async (
    context: TestContext,
    work: (server: RunningApp, disk: ReturnType<typeof diskOrSkip>, store: () => ReturnType<typeof upload>) => unknown,
  ) => {
    const disk = diskOrSkip(context, mountSmallDisk(64))
    const server = await startApp(kind, { DRAMATIS_BLOB_URL: `file:${disk.directory}` })
    try {
      const { body } = await server.call('POST', '/conversations', REHEARSAL)
      const store = () => upload(server, String(body['conversationId']), { type: 'application/pdf', bytes: PDF })
      expect((await store()).status).toBe(200)
      await work(server, disk, store)
    } finally {
      await server.close()
      disk.remove()
    }
  }

  test('is full: the server is not ready until there is room', (context) =>
    withDisk(context, async ({ url }, disk, store) => {
      expect(await isReady(url)).toBe(true)
      disk.fill()
      await notReady(url, 'the disk of the files is full')
      expect(await store()).toMatchObject({
        status: 503,
        body: { error: { code: 'unavailable', message: 'the disk of the files is full' } },
      })
      disk.free()
      await until('it is ready again', () => isReady(url))
      expect((await store()).status).toBe(200)
    }))

  test('has become read-only: the server is not ready, and says why', (context) =>
    withDisk(context, async ({ url, place, config }, disk, store) => {
      disk.makeReadOnly()
      await notReady(url, 'the files cannot be written (read-only)')
      expect(await store()).toMatchObject({
        status: 503,
        body: { error: { code: 'unavailable', message: 'the files cannot be written (read-only)' } },
      })
      const env = { PORT: String(config.port), DRAMATIS_BLOB_URL: `file:${disk.directory}` }
      const doctor = await runCli(['doctor'], environmentOf(place, env))
      expect(doctor).toMatchObject({ code: 1, stdout: expect.stringMatching(/BAD\s+files\s+.*its disk is read-only/) })
    }))
})

test('a disk that fails and becomes read-only under a server is called so', async (context) => {
  const disk = diskOrSkip(context, mountFailingDisk(64))
  const server = await startFaultServer(serverEnvironment(placeOn(disk.directory), NOWHERE))
  try {
    expect(await isReady(server.url)).toBe(true)
    disk.fail()
    // Such a disk looks as before until something is written to it.
    await expectRefusedWrite(server.url, 'the database cannot be written (read-only)')
    await notReady(server.url, 'the database cannot be written (read-only)')
    expect((await call(server.url, 'GET', '/conversations')).status).toBe(200)
  } finally {
    await end(server)
    disk.remove()
  }
})

test('a read-only disk is called so by the doctor, and by the start', async (context) => {
  const disk = diskOrSkip(context, mountSmallDisk(64))
  try {
    const place = placeOn(disk.directory)
    await stop(await startFaultServer(serverEnvironment(place, NOWHERE)))
    disk.makeReadOnly()
    const doctor = await runCli(['doctor'], environmentOf(place, { PORT: '0' }))
    expect(doctor.code).toBe(1)
    expect(doctor.stdout).toMatch(/BAD\s+data folder\s+.*its disk is read-only/)
    expect(doctor.stdout).toMatch(/BAD\s+database\s+.*its disk is read-only/)
    await expectRefusedStart(serverEnvironment(place, NOWHERE), /cannot be written: its disk is read-only/)
    const empty = { ...place, directory: join(disk.directory, 'new'), url: `file:${disk.directory}/new/dramatis.db` }
    await expectRefusedStart(serverEnvironment(empty, NOWHERE), /cannot be written: its disk is read-only/)
  } finally {
    disk.remove()
  }
})

test('a read-only file is told from a read-only disk', async (context) => {
  const disk = diskOrSkip(context, mountFailingDisk(64))
  const place = placeOn(disk.directory)
  const file = join(disk.directory, 'dramatis.db')
  try {
    await stop(await startFaultServer(serverEnvironment(place, NOWHERE)))
    // Rights do not bind root, who runs the tests that can mount a disk.
    execFileSync('chattr', ['+i', file])
    const doctor = await runCli(['doctor'], environmentOf(place, { PORT: '0' }))
    expect(doctor).toMatchObject({
      code: 1,
      stdout: expect.stringMatching(/BAD\s+database\s+.*is not writable for this/),
    })
    await expectRefusedStart(
      serverEnvironment(place, NOWHERE),
      /cannot be written: the file is read-only, or this user/,
    )
    execFileSync('chattr', ['-i', file])
  } finally {
    disk.remove()
  }
})

test('a full disk at the start is called so', async (context) => {
  const disk = diskOrSkip(context, mountSmallDisk(64))
  try {
    writeFileSync(join(disk.directory, 'first'), '')
    disk.fill()
    await expectRefusedStart(serverEnvironment(placeOn(disk.directory), NOWHERE), /cannot grow: the disk is full/)
  } finally {
    disk.remove()
  }
})

test('a PostgreSQL that has become read-only is called so', async (context) => {
  const postgres = await ownPostgresOrSkip(context)
  const place = await kindOf(postgres).create()
  const server = await serve(place)
  const { default: pg } = await import('pg')
  const admin = new pg.Client({ connectionString: postgres.url, options: '-c default_transaction_read_only=off' })
  await admin.connect()
  const setReadOnly = async (value: 'on' | 'off') => {
    await admin.query(`alter system set default_transaction_read_only = ${value}`)
    await admin.query('select pg_reload_conf()')
  }
  try {
    await setReadOnly('on')
    await expectRefusedWrite(server.url, 'the database cannot be written (read-only)')
    await notReady(server.url, 'the database cannot be written (read-only)')
    await setReadOnly('off')
    await until('it is ready again', () => isReady(server.url))
    expect((await server.call('POST', '/conversations', REHEARSAL)).status).toBe(200)
  } finally {
    await server.close()
    await admin.end()
    await place.remove()
    await postgres.remove()
  }
})

async function expectRefusedStart(env: Record<string, string>, sentence: RegExp): Promise<void> {
  const server = spawnServer(env)
  expect(await server.ended).toEqual({ code: 1, signal: null })
  expect(server.output).toMatch(sentence)
  expect(server.output).not.toMatch(/\bat .+:\d+:\d+|node:internal/)
}

/** Its disk cannot be taken away while it lives. */
async function end(server: FaultServer): Promise<void> {
  server.signal('SIGKILL')
  await server.ended
}

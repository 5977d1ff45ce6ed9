import { closeSync, openSync, statSync, truncateSync, writeFileSync, writeSync } from 'node:fs'
import { setTimeout as wait } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { type DatabaseKind, databaseKinds, type TestDatabase } from '../support/databases.ts'
import { chatReply } from '../support/provider-server.ts'
import { type FaultServer, kill, serverEnvironment, spawnServer, startFaultServer, stop } from './support/server.ts'
import { diskOrSkip, mountSmallDisk, placeOn } from './support/small-disk.ts'
import { report } from './support/tally.ts'
import { call } from './support/wire.ts'
import {
  createConversation,
  ended,
  expectNextTurn,
  hear,
  messagesOf,
  openStream,
  openWorld,
  replay,
  send,
  until,
} from './support/world.ts'

const sqlite = databaseKinds[0] as DatabaseKind
const GROUP = 'files and disks'
/** Where nothing answers: these servers need no model. */
const NOWHERE = 'http://127.0.0.1:9'

async function withPlace(use: (place: TestDatabase) => Promise<void>): Promise<void> {
  const place = await sqlite.create()
  try {
    await use(place)
  } finally {
    await place.remove()
  }
}

/** Expects a start to fail with 1 and a sentence for the operator, and no stack trace. */
async function expectRefusal(server: FaultServer, sentence: RegExp): Promise<void> {
  expect(await server.ended).toEqual({ code: 1, signal: null })
  expect(server.output).toMatch(sentence)
  expect(server.output).toMatch(/^Dramatis cannot start\.$/m)
  expect(server.output).not.toMatch(/\bat .+:\d+:\d+|node:internal/)
}

test('a second server on one SQLite file refuses and says why; the first is not disturbed', async (context) => {
  const world = await openWorld(sqlite)
  try {
    const id = await createConversation(world.server.url)
    world.provider.script([chatReply(Array(100).fill('word '), { delayMs: 10 })])
    const heard = hear(await openStream(world.server.url, id, 'Go on'))
    const others = [spawnServer(world.env), spawnServer(world.env)]
    for (const other of others) await expectRefusal(other, /another Dramatis server is using .+dramatis\.db/)
    expect(await heard).toMatchObject({ text: 'word '.repeat(100), finishReason: 'stop' })
    await expectNextTurn(world, id)
    report(context, GROUP, { faults: 2, turns: 2, acknowledged: 4 })
  } finally {
    await world.close()
  }
})

test('of servers that start at the same moment on one SQLite file exactly one lives', (context) =>
  withPlace(async (place) => {
    const servers = Array.from({ length: 4 }, () => spawnServer(serverEnvironment(place, NOWHERE)))
    let refused = 0
    for (const server of servers) void server.ended.then(() => refused++)
    await until('all but one have refused', async () => refused === servers.length - 1)
    const winner = await until('one listens', async () => servers.find(({ output }) => /listening/.test(output)))
    for (const server of servers.filter((one) => one !== winner)) {
      await expectRefusal(server, /another Dramatis server is using/)
    }
    expect(await stop(winner)).toEqual({ code: 0, signal: null })
    report(context, GROUP, { faults: servers.length - 1 })
  }))

test('a file that is no database is refused and left as it was', (context) =>
  withPlace(async (place) => {
    const file = place.url.replace('file:', '')
    writeFileSync(file, 'Dear diary, '.repeat(1_000))
    await expectRefusal(spawnServer(serverEnvironment(place, NOWHERE)), /is not a SQLite database, or is damaged/)
    expect(statSync(file).size).toBe(12_000)
    report(context, GROUP, { faults: 1 })
  }))

test.for(['overwritten in the middle', 'cut in half'])('a database file that was %s is refused', (how, context) =>
  withPlace(async (place) => {
    const env = serverEnvironment(place, NOWHERE)
    const first = await startFaultServer(env)
    for (let i = 0; i < 20; i++) {
      const body = { aiSystem: 'rehearsal', model: 'rehearsal', systemMessage: 'x'.repeat(10_000) }
      expect((await call(first.url, 'POST', '/conversations', body)).status).toBe(200)
    }
    await stop(first)
    await kill(await startFaultServer(env))
    const file = place.url.replace('file:', '')
    const { size } = statSync(file)
    if (how === 'cut in half') truncateSync(file, Math.floor(size / 2))
    else {
      const written = openSync(file, 'r+')
      writeSync(written, Buffer.alloc(65_536, 0xff), 0, 65_536, Math.floor(size / 2))
      closeSync(written)
    }
    await expectRefusal(spawnServer(env), /is damaged[\s\S]*restore a backup/)
    report(context, GROUP, { faults: 1 })
  }),
)

test('a disk that cannot be written is refused', async (context) => {
  const disk = diskOrSkip(context, mountSmallDisk(16))
  try {
    const env = serverEnvironment(placeOn(disk.directory), NOWHERE)
    await stop(await startFaultServer(env))
    disk.makeReadOnly()
    await expectRefusal(spawnServer(env), /cannot be written: its disk is read-only/)
    report(context, GROUP, { faults: 1 })
  } finally {
    disk.remove()
  }
})

test('a full disk: 503 while it lasts, what was acknowledged stays, and it goes on by itself', async (context) => {
  const disk = diskOrSkip(context, mountSmallDisk(16))
  const kind: DatabaseKind = { name: 'sqlite', create: async () => placeOn(disk.directory) }
  const world = await openWorld(kind, { DRAMATIS_LEASE_MS: '500' })
  const { url } = world.server
  try {
    // The second time it lasts longer than the server tries to store an end.
    for (const fullMs of [300, 8_500]) {
      const id = await createConversation(url)
      expect((await send(url, id, 'Before')).status).toBe(200)
      const running = await createConversation(url)
      world.provider.script([chatReply(Array(100).fill('word '), { delayMs: 10 })])
      const opened = await openStream(url, running, 'Go on')
      const runId = String(opened.headers['x-dramatis-run-id'])
      const heard = hear(opened)

      disk.fill()
      const acknowledged = await sendUntilRefused(url, id)
      expect((await call(url, 'GET', `/conversations/${id}`)).status).toBe(200)
      await wait(fullMs)
      disk.free()

      const run = await ended(url, running, runId)
      const { blocks } = await heard
      const again = await replay(url, running, runId)
      const shown = blocks.filter((block) => block.startsWith('id: '))
      expect(again.blocks.slice(0, shown.length)).toEqual(shown)
      expect((await messagesOf(url, running))[1]).toEqual(['assistant', again.text])
      expect(run.finishReason).toBe(again.finishReason)
      const said = (await messagesOf(url, id)).filter(([role]) => role === 'user').map(([, content]) => content)
      expect(said).toEqual(expect.arrayContaining(['Before', ...acknowledged]))
      await until('it takes turns again', async () => (await send(url, id, 'After')).status === 200)
      await expectNextTurn(world, running)
      report(context, GROUP, { faults: 1, turns: 4 + acknowledged.length, acknowledged: 4 + acknowledged.length })
    }
    await kill(world.server)
    world.server = await startFaultServer(world.env)
  } finally {
    await world.close()
    disk.remove()
  }
})

/** Sends long messages until one is refused as it should be; gives back those that were answered. */
async function sendUntilRefused(url: string, id: string): Promise<string[]> {
  const answered: string[] = []
  for (let i = 0; i < 400; i++) {
    const text = `${i} ${'x'.repeat(50_000)}`
    const answer = await send(url, id, text)
    if (answer.status !== 200) {
      expect(answer.status, answer.text).toBe(503)
      expect(Number(answer.headers['retry-after'])).toBeGreaterThanOrEqual(1)
      return answered
    }
    answered.push(text)
  }
  throw new Error('the disk was never full')
}

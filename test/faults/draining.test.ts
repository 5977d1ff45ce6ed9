import { expect, test } from 'vitest'
import { onEveryDatabase } from '../support/databases.ts'
import { chatReply } from '../support/provider-server.ts'
import { startFaultServer } from './support/server.ts'
import { report } from './support/tally.ts'
import { call } from './support/wire.ts'
import {
  createConversation,
  expectNextTurn,
  hear,
  messagesOf,
  openStream,
  openWorld,
  replay,
  runsOf,
} from './support/world.ts'

const GRACE_MS = 5_000
const GROUP = 'SIGTERM'

onEveryDatabase('a server that is told to stop', (kind) => {
  test('lets turns finish within the grace, stores the rest, and sends each reader its end', async (context) => {
    const world = await openWorld(kind, { DRAMATIS_SHUTDOWN_GRACE_MS: String(GRACE_MS) })
    const { url } = world.server
    const start = async (tokens: number) => {
      const id = await createConversation(url)
      world.provider.script([chatReply(Array(tokens).fill('word '), { delayMs: 20 })])
      const opened = await openStream(url, id, 'Go on')
      return { id, runId: String(opened.headers['x-dramatis-run-id']), heard: hear(opened) }
    }
    const short = [await start(30), await start(30)]
    const long = [await start(1_000), await start(1_000)]
    world.server.signal('SIGTERM')
    // While turns still run, nothing new is taken: a new connection is refused, or told that the server is stopping.
    const isTaken = () =>
      call(url, 'GET', '/readyz').then(
        ({ status }) => (status === 503 ? 'no' : status),
        () => 'no',
      )
    await expect.poll(isTaken).toBe('no')

    const heardShort = await Promise.all(short.map(({ heard }) => heard))
    const heardLong = await Promise.all(long.map(({ heard }) => heard))
    expect(await world.server.ended).toEqual({ code: 0, signal: null })
    for (const heard of heardShort) {
      expect(heard).toMatchObject({ text: 'word '.repeat(30), finishReason: 'stop', isWhole: true })
    }
    for (const heard of heardLong) {
      expect(heard).toMatchObject({ finishReason: 'interrupted', isWhole: true })
      expect(heard.blocks.at(-1)).toBe('data: [DONE]')
    }

    world.server = await startFaultServer(world.env)
    for (const [i, { id, runId }] of [...short, ...long].entries()) {
      const heard = [...heardShort, ...heardLong][i]
      expect((await replay(world.server.url, id, runId)).blocks).toEqual(heard?.blocks)
      expect((await messagesOf(world.server.url, id))[1]).toEqual(['assistant', heard?.text])
      expect((await runsOf(world.server.url, id))[0]?.status).toBe(i < 2 ? 'completed' : 'interrupted')
      await expectNextTurn(world, id)
    }
    await world.close()
    report(context, GROUP, { faults: 1, turns: 8, acknowledged: 8 })
  })
})

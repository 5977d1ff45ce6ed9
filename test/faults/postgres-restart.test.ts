import { setTimeout as wait } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { chatReply } from '../support/provider-server.ts'
import { kindOf, ownPostgresOrSkip } from './support/own-postgres.ts'
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
  until,
} from './support/world.ts'

const TURNS = 6
const WORDS = 120

test('a restart of PostgreSQL is a pause in the replies, which end whole', async (context) => {
  const postgres = await ownPostgresOrSkip(context)
  const world = await openWorld(kindOf(postgres))
  const { url } = world.server
  try {
    const ids = await Promise.all(Array.from({ length: TURNS }, () => createConversation(url)))
    // Half of the replies end while PostgreSQL is away, half of them after it is back.
    const spoken: (() => void)[] = []
    const started = await Promise.all(
      ids.map(async (id, i) => {
        world.provider.script([chatReply(Array(WORDS).fill('word '), { delayMs: i % 2 === 0 ? 5 : 25 })])
        const opened = await openStream(url, id, 'Go on')
        const begun = new Promise<void>((resolve) => spoken.push(resolve))
        const heard = hear(opened, () => spoken[i]?.())
        await begun
        return { id, runId: String(opened.headers['x-dramatis-run-id']), heard }
      }),
    )
    await postgres.switchOff()
    expect((await call(url, 'GET', '/readyz')).status).toBe(503)
    await wait(1_000)
    await postgres.switchOn()

    for (const { id, runId, heard } of started) {
      const { text, finishReason, blocks } = await heard
      expect([text, finishReason]).toEqual(['word '.repeat(WORDS), 'stop'])
      expect(await ended(url, id, runId)).toMatchObject({ status: 'completed' })
      expect((await replay(url, id, runId)).blocks).toEqual(blocks)
      expect(await messagesOf(url, id)).toEqual([
        ['user', 'Go on'],
        ['assistant', 'word '.repeat(WORDS)],
      ])
    }
    await until('it is ready again', async () => (await call(url, 'GET', '/readyz')).status === 200)
    for (const id of ids) await expectNextTurn(world, id)
    report(context, 'PostgreSQL restarts', { faults: 1, turns: 2 * TURNS, acknowledged: 2 * TURNS })
  } finally {
    await world.close()
    await postgres.remove()
  }
})

import { DatabaseSync } from 'node:sqlite'
import { setTimeout as wait } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { type DatabaseKind, databaseKinds } from '../support/databases.ts'
import { chatReply } from '../support/provider-server.ts'
import { report } from './support/tally.ts'
import { createConversation, expectNextTurn, hear, messagesOf, openStream, openWorld } from './support/world.ts'

const sqlite = databaseKinds.find(({ name }) => name === 'sqlite') as DatabaseKind

/** Longer than SQLite itself waits for a lock (5 s), so that a write fails. */
const LOCKED_MS = 6_500
const TEXT = 'word '.repeat(200)

test('a SQLite file that is locked for a while is a pause in the replies', async (context) => {
  const world = await openWorld(sqlite)
  try {
    const { url } = world.server
    const id = await createConversation(url)
    world.provider.script([chatReply(Array(200).fill('word '), { delayMs: 10 })])
    const begun = Promise.withResolvers<void>()
    const heard = hear(await openStream(url, id, 'Go on'), () => begun.resolve())
    await begun.promise
    const somebody = new DatabaseSync(world.place.location.kind === 'sqlite' ? world.place.location.file : '')
    somebody.exec('begin immediate')
    await wait(LOCKED_MS)
    somebody.exec('rollback')
    somebody.close()

    const { text, finishReason } = await heard
    expect([text, finishReason]).toEqual([TEXT, 'stop'])
    expect(await messagesOf(url, id)).toEqual([
      ['user', 'Go on'],
      ['assistant', TEXT],
    ])
    await expectNextTurn(world, id)
    report(context, 'SQLite is locked', { faults: 1, turns: 2, acknowledged: 2 })
  } finally {
    await world.close()
  }
})

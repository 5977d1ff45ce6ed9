import { setTimeout as wait } from 'node:timers/promises'
import { expect, type TestContext, test } from 'vitest'
import { chatReply } from '../support/provider-server.ts'
import { kindOf, type OwnPostgres, ownPostgresOrSkip } from './support/own-postgres.ts'
import { report } from './support/tally.ts'
import { type Answer, call } from './support/wire.ts'
import {
  createConversation,
  ended,
  expectNextTurn,
  hear,
  messagesOf,
  openStream,
  openWorld,
  replay,
  runsOf,
  send,
  until,
  type World,
} from './support/world.ts'

/** Milliseconds. The last one lasts longer than the server tries to store an end before it leaves that to recovery. */
const OUTAGES = [300, 1_500, 8_500]
const TURNS = 6

test('PostgreSQL goes away in the middle of turns and comes back', async (context) => {
  const postgres = await ownPostgresOrSkip(context)
  const world = await openWorld(kindOf(postgres), { DRAMATIS_LEASE_MS: '500' })
  try {
    for (const outageMs of OUTAGES) await survive(world, postgres, outageMs, context)
  } finally {
    await world.close()
    await postgres.remove()
  }
})

async function survive(world: World, postgres: OwnPostgres, outageMs: number, context: TestContext): Promise<void> {
  const { url } = world.server
  const ids = await Promise.all(Array.from({ length: TURNS }, () => createConversation(url)))
  for (const id of ids) expect((await send(url, id, 'Before')).status).toBe(200)
  const turns = ids.map(async (id) => {
    world.provider.script([chatReply(Array(80).fill('word '), { delayMs: 10 })])
    const opened = await openStream(url, id, 'Go on')
    return { id, runId: String(opened.headers['x-dramatis-run-id']), heard: hear(opened) }
  })
  const started = await Promise.all(turns)
  const first = ids[0] as string
  const waiting = send(url, first, 'Next', '?onBusy=wait')
  await until('one waits', async () => (await runsOf(url, first)).length === 3)

  await postgres.switchOff()
  const during = await Promise.all([
    call(url, 'GET', '/readyz'),
    call(url, 'GET', `/conversations/${first}`),
    call(url, 'GET', '/conversations'),
    createAttempt(url),
    send(url, first, 'Lost?'),
    call(url, 'GET', `/conversations/${first}/runs`),
  ])
  for (const answer of during) expectUnavailable(answer)
  expect((await call(url, 'GET', '/healthz')).status).toBe(200)
  await wait(outageMs)
  expectUnavailable(await call(url, 'GET', '/readyz'))
  await postgres.switchOn()

  await until('it is ready again', async () => (await call(url, 'GET', '/readyz')).status === 200)
  for (const { id, runId, heard } of started) {
    const run = await ended(url, id, runId)
    const { blocks } = await heard
    const shown = blocks.filter((block) => block.startsWith('id: '))
    const again = await replay(url, id, runId)
    expect(again.blocks.slice(0, shown.length)).toEqual(shown)
    expect(run.finishReason).toBe(again.finishReason)
    const talk = await messagesOf(url, id)
    expect(talk.slice(0, 3)).toEqual([
      ['user', 'Before'],
      ['assistant', expect.any(String)],
      ['user', 'Go on'],
    ])
    if (again.text !== '') expect(talk[3]).toEqual(['assistant', again.text])
    expect(talk.filter(([, content]) => content === 'Lost?')).toEqual([])
  }
  // The one that waited has kept its place.
  const next = await waiting
  expect(next.status, next.text).toBe(200)
  for (const id of ids) await expectNextTurn(world, id)
  report(context, 'PostgreSQL goes away', { faults: 1, turns: 3 * TURNS + 1, acknowledged: 3 * TURNS })
}

function createAttempt(url: string): Promise<Answer> {
  return call(url, 'POST', '/conversations', { aiSystem: 'openai-compatible', model: 'm' })
}

function expectUnavailable({ status, text, headers }: Answer): void {
  expect(status, text).toBe(503)
  expect(Number(headers['retry-after']), text).toBeGreaterThanOrEqual(1)
}

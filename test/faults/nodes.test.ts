import { setTimeout as wait } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { databaseKinds } from '../support/databases.ts'
import { chatReply } from '../support/provider-server.ts'
import { type FaultServer, kill, startFaultServer } from './support/server.ts'
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
  runsOf,
  send,
  until,
  type World,
} from './support/world.ts'

/** Long enough for a server on a busy machine to renew it in time. */
const LEASE_MS = 3_000
const postgres = databaseKinds.find(({ name }) => name === 'postgres')
const title = 'two servers on one PostgreSQL'

if (!postgres) describe.skip(`${title} (skipped: ${inject('postgresMissing').split('\n')[0]})`, () => {})
else
  describe(title, () => {
    let world: World
    let other: FaultServer
    beforeAll(async () => {
      world = await openWorld(postgres, { DRAMATIS_LEASE_MS: String(LEASE_MS) })
      other = await startFaultServer(world.env)
    })
    afterAll(async () => {
      await kill(other)
      await world.close()
    })

    test('a turn is read through the other one, byte for byte, live and afterwards', async (context) => {
      const { url } = world.server
      const id = await createConversation(url)
      world.provider.script([chatReply(Array(60).fill('word '), { delayMs: 10 })])
      const opened = await openStream(url, id, 'Go on')
      const runId = String(opened.headers['x-dramatis-run-id'])
      const [here, there, rest] = await Promise.all([
        hear(opened),
        replay(other.url, id, runId),
        replay(other.url, id, runId, { 'last-event-id': `${runId}:3` }),
      ])
      expect(here.text).toBe('word '.repeat(60))
      expect(there.blocks).toEqual(here.blocks)
      expect(rest.blocks).toEqual(here.blocks.slice(4))
      expect((await replay(other.url, id, runId)).blocks).toEqual(here.blocks)
      report(context, 'two servers', { faults: 2, turns: 1, acknowledged: 1 })
    })

    test('a turn is cancelled through the other one, which gives the receipt', async (context) => {
      const { url } = world.server
      for (let i = 0; i < 5; i++) {
        const id = await createConversation(url)
        world.provider.script([chatReply(Array(2_000).fill('word '), { delayMs: 5 })])
        const opened = await openStream(url, id, 'Go on')
        const runId = String(opened.headers['x-dramatis-run-id'])
        const heard = hear(opened)
        const asked = world.provider.requests.at(-1)
        const receipt = await call(other.url, 'POST', `/conversations/${id}/runs/${runId}/cancel`)
        const { text, finishReason } = await heard
        expect(finishReason).toBe('cancelled')
        expect(await asked?.closedByClient).toBe(true)
        expect(receipt.body).toMatchObject({ status: 'cancelled', textLength: text.length })
        expect((await messagesOf(other.url, id))[1]).toEqual(['assistant', text])
        await expectNextTurn(world, id)
      }
      report(context, 'two servers', { faults: 5, turns: 10, acknowledged: 15 })
    })

    test('a conversation is deleted through the other one, which stops its turn', async (context) => {
      const { url } = world.server
      const id = await createConversation(url)
      world.provider.script([chatReply(Array(2_000).fill('word '), { delayMs: 5 })])
      const heard = hear(await openStream(url, id, 'Go on'))
      const asked = world.provider.requests.at(-1)
      expect((await call(other.url, 'DELETE', `/conversations/${id}`)).status).toBe(204)
      expect((await heard).finishReason).toBe('cancelled')
      expect(await asked?.closedByClient).toBe(true)
      expect((await send(url, id, 'Still there?')).status).toBe(410)
      report(context, 'two servers', { faults: 1, turns: 1, acknowledged: 2 })
    })

    test('turns wait in one line, whichever server they came to', async (context) => {
      const id = await createConversation(world.server.url)
      const gate = Promise.withResolvers<void>()
      world.provider.script([{ ...chatReply(['First']), before: gate.promise }])
      const sends = [send(world.server.url, id, 'message 0')]
      await until('the first runs', async () => (await runsOf(other.url, id)).length === 1)
      const refused = await send(other.url, id, 'too early')
      expect(refused.status).toBe(409)
      for (let i = 1; i <= 8; i++) {
        const { url } = i % 2 === 0 ? world.server : other
        sends.push(send(url, id, `message ${i}`, '?onBusy=wait'))
        await until('it waits', async () => (await runsOf(other.url, id)).length === i + 1)
      }
      gate.resolve()
      expect((await Promise.all(sends)).map(({ status }) => status)).toEqual(Array(9).fill(200))
      const talk = await messagesOf(other.url, id)
      expect(talk.map(([role]) => role)).toEqual(Array(9).fill(['user', 'assistant']).flat())
      const said = talk.filter(([role]) => role === 'user').map(([, content]) => content)
      expect(said).toEqual(Array.from({ length: 9 }, (_, i) => `message ${i}`))
      report(context, 'two servers', { faults: 9, turns: 9, acknowledged: 18 })
    })

    test('a newer message interrupts a turn that the other one executes', async (context) => {
      const id = await createConversation(world.server.url)
      world.provider.script([chatReply(Array(2_000).fill('word '), { delayMs: 5 })])
      const heard = hear(await openStream(world.server.url, id, 'Go on'))
      expect((await send(other.url, id, 'Stop that', '?onBusy=interrupt')).status).toBe(200)
      const { text, finishReason } = await heard
      expect(finishReason).toBe('interrupted')
      const talk = await messagesOf(other.url, id)
      expect(talk.map(([role]) => role)).toEqual(['user', 'assistant', 'user', 'assistant'])
      expect(talk[1]?.[1]).toBe(text)
      report(context, 'two servers', { faults: 1, turns: 2, acknowledged: 4 })
    })

    test('a server that stood still and lost its turn to the other writes nothing when it goes on', async (context) => {
      const { url } = world.server
      const conversations = await Promise.all(Array.from({ length: 6 }, () => createConversation(url)))
      const turns = conversations.map(async (id, i) => {
        world.provider.script([chatReply(Array(2_000).fill('word '), { delayMs: 20 })])
        const opened = await openStream(url, id, 'Go on')
        const runId = String(opened.headers['x-dramatis-run-id'])
        const begun = Promise.withResolvers<void>()
        const heard = hear(opened, (_block, count) => count > 2 && begun.resolve())
        await begun.promise
        return { id, runId, heard, i }
      })
      const started = await Promise.all(turns)
      world.server.signal('SIGSTOP')
      const taken = await Promise.all(started.map(({ id, runId }) => ended(other.url, id, runId)))
      expect(taken.map(({ status }) => status)).toEqual(Array(6).fill('interrupted'))
      const look = async ({ id, runId }: { id: string; runId: string }) => ({
        run: (await runsOf(other.url, id)).find((run) => run.runId === runId),
        talk: (await messagesOf(other.url, id)).slice(0, 2),
        events: (await replay(other.url, id, runId)).blocks,
      })
      const before = await Promise.all(started.map(look))
      for (const { id } of started) expect((await send(other.url, id, 'Are you there?')).status).toBe(200)

      world.server.signal('SIGCONT')
      const heard = await Promise.all(started.map((turn) => turn.heard))
      // Everything that it still had in hand has come to nothing by the time it answers again and some time has passed.
      await until('it answers', async () => (await call(url, 'GET', '/readyz')).status === 200)
      await wait(LEASE_MS)
      expect(await Promise.all(started.map(look))).toEqual(before)
      for (const [i, { blocks }] of heard.entries()) {
        const shown = blocks.filter((block) => block.startsWith('id: '))
        expect(before[i]?.events.slice(0, shown.length)).toEqual(shown)
        expect(before[i]?.events.length).toBeGreaterThan(1)
      }
      for (const { id } of started) {
        expect((await runsOf(url, id)).map(({ status }) => status)).toEqual(['interrupted', 'completed'])
        await expectNextTurn(world, id)
      }
      report(context, 'a paused server', { faults: 6, turns: 18, acknowledged: 36 })
    })

    test('a server that dies leaves its line and its turns to the other', async (context) => {
      const third = await startFaultServer(world.env)
      const id = await createConversation(third.url)
      world.provider.script([chatReply(Array(2_000).fill('word '), { delayMs: 20 })])
      const opened = await openStream(third.url, id, 'Go on')
      const runId = String(opened.headers['x-dramatis-run-id'])
      const heard = hear(opened)
      const waiting = send(world.server.url, id, 'Next', '?onBusy=wait')
      await until('it waits', async () => (await runsOf(other.url, id)).length === 2)
      await kill(third)
      expect((await waiting).status).toBe(200)
      expect(await ended(other.url, id, runId)).toMatchObject({ status: 'interrupted' })
      const { blocks } = await heard
      const again = await replay(other.url, id, runId)
      expect(again.blocks.slice(0, blocks.length)).toEqual(blocks)
      expect(again.finishReason).toBe('interrupted')
      report(context, 'two servers', { faults: 1, turns: 2, acknowledged: 4 })
    })
  })

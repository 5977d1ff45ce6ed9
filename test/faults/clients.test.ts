import { readFileSync } from 'node:fs'
import { setTimeout as wait } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { onEveryDatabase } from '../support/databases.ts'
import { chatReply } from '../support/provider-server.ts'
import { report } from './support/tally.ts'
import { open } from './support/wire.ts'
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

const CROWD = 200
/** What may wait for one conversation (contract, section 7). */
const LINE = 20

onEveryDatabase('clients', (kind) => {
  let world: World
  beforeAll(async () => {
    world = await openWorld(kind)
  })
  afterAll(() => world.close())

  test('that vanish do not stop the turn: it goes on to its end, and the rest can be read', async (context) => {
    const { url } = world.server
    const tokens = Array.from({ length: 40 }, (_, i) => `word-${i} `)
    const turns = Array.from({ length: 10 }, async (_, i) => {
      const id = await createConversation(url)
      // The model goes on when the client is gone, however fast or slow either of them is.
      const gone = Promise.withResolvers<void>()
      const { pieces = [], ...reply } = chatReply(tokens, { delayMs: 5 })
      const half = Math.floor(pieces.length / 2)
      world.provider.script([{ ...reply, pieces: pieces.toSpliced(half, 0, { until: gone.promise }) }])
      const opened = await openStream(url, id, 'Go on')
      const runId = String(opened.headers['x-dramatis-run-id'])
      const heard = await hear(opened, (_block, count) => {
        if (count <= i) return
        opened.vanish()
        gone.resolve()
      })
      expect(heard.isWhole).toBe(false)
      const again = await replay(url, id, runId, { 'last-event-id': `${runId}:${heard.blocks.length - 1}` })
      expect(heard.text + again.text).toBe(tokens.join(''))
      expect(again.finishReason).toBe('stop')
      expect((await replay(url, id, runId)).blocks).toEqual([...heard.blocks, ...again.blocks])
      await expectNextTurn(world, id)
    })
    await Promise.all(turns)
    report(context, 'clients that vanish', { faults: 10, turns: 20, acknowledged: 20 })
  })

  test('that vanish stop the turn if they have said so: what they had got is kept', async (context) => {
    const { url } = world.server
    for (let i = 0; i < 10; i++) {
      const id = await createConversation(url)
      world.provider.script([chatReply(Array(1_000).fill('word '), { delayMs: 5 })])
      const opened = await openStream(url, id, 'Go on', '?onDisconnect=cancel')
      const runId = String(opened.headers['x-dramatis-run-id'])
      const asked = world.provider.requests.at(-1)
      const heard = await hear(opened, (_block, count) => {
        if (count > i) opened.vanish()
      })
      expect(await asked?.closedByClient).toBe(true)
      expect(await ended(url, id, runId)).toMatchObject({ status: 'cancelled', finishReason: 'cancelled' })
      const kept = (await messagesOf(url, id))[1]?.[1] ?? ''
      expect(kept.startsWith(heard.text)).toBe(true)
      expect((await replay(url, id, runId)).text).toBe(kept)
      await expectNextTurn(world, id)
    }
    report(context, 'clients that vanish', { faults: 10, turns: 20, acknowledged: 20 })
  })

  test('that send again after they vanished are told which turn is running, and can read it', async (context) => {
    const { url } = world.server
    const id = await createConversation(url)
    world.provider.script([chatReply(Array(30).fill('word '), { delayMs: 10 })])
    const opened = await openStream(url, id, 'Go on')
    await hear(opened, () => opened.vanish())
    const again = await send(url, id, 'Go on')
    expect(again.status).toBe(409)
    const { runId } = again.body['error'] as { runId: string }
    expect(runId).toBe(opened.headers['x-dramatis-run-id'])
    expect((await replay(url, id, runId)).text).toBe('word '.repeat(30))
    expect((await messagesOf(url, id)).map(([role]) => role)).toEqual(['user', 'assistant'])
    report(context, 'clients that vanish', { faults: 1, turns: 1, acknowledged: 1 })
  })

  test('that hardly read hold up nobody, cost no memory of their own, and get every byte in the end', async (context) => {
    const { url, pid } = world.server
    const id = await createConversation(url)
    const tokens = Array.from({ length: 1_000 }, (_, i) => `${i}${'x'.repeat(4_000)} `)
    world.provider.script([chatReply(tokens)])
    const first = await openStream(url, id, 'Tell me everything')
    const runId = String(first.headers['x-dramatis-run-id'])
    first.response.pause()
    const path = `/conversations/${id}/runs/${runId}/events`
    const readers = [first]
    for (let i = 0; i < 50; i++) readers.push(await open(url, { method: 'GET', path }))
    const before = residentBytes(pid)
    // Paused, a reader takes what it is asked for: here a byte a second.
    for (const { response } of readers) response.pause()
    for (let second = 0; second < 3; second++) {
      for (const { response } of readers) response.unshift(response.read(1) ?? Buffer.alloc(0))
      await wait(1_000)
    }
    // All the while the turn goes on, and so do those of others.
    expect(await ended(url, id, runId)).toMatchObject({ status: 'completed' })
    const other = await createConversation(url)
    await expectNextTurn(world, other)
    const after = residentBytes(pid)
    // A reply of 4 MB for each of 51 readers would be 200 MB.
    if (before !== null && after !== null) expect(after - before).toBeLessThan(120_000_000)

    const whole = tokens.join('')
    const heard = await Promise.all(readers.map((reader) => hear(reader)))
    for (const { text, isWhole, finishReason } of heard) {
      expect({ isWhole, finishReason, isAll: text === whole }).toEqual({
        isWhole: true,
        finishReason: 'stop',
        isAll: true,
      })
    }
    report(context, 'clients that hardly read', { faults: readers.length, turns: 2, acknowledged: readers.length + 1 })
  })

  test(`that send ${CROWD} messages at once to one conversation: one is answered, the others are refused`, async (context) => {
    const { url } = world.server
    const id = await createConversation(url)
    const gate = Promise.withResolvers<void>()
    world.provider.script([{ ...chatReply(['Just', ' one']), before: gate.promise }])
    const sends = Array.from({ length: CROWD }, (_, i) => send(url, id, `message ${i}`))
    let refused = 0
    for (const sent of sends) {
      void sent.then(({ status }) => {
        if (status === 409 && ++refused === CROWD - 1) gate.resolve()
      })
    }
    const answers = await Promise.all(sends)
    const statuses = answers.map(({ status }) => status).sort()
    expect(statuses).toEqual([200, ...Array(CROWD - 1).fill(409)])
    const [question, answer, ...more] = await messagesOf(url, id)
    expect(question?.[1]).toBe(`message ${answers.findIndex(({ status }) => status === 200)}`)
    expect([answer, more]).toEqual([['assistant', 'Just one'], []])
    expect(await runsOf(url, id)).toHaveLength(1)
    await expectNextTurn(world, id)
    report(context, 'crowds', { faults: CROWD, turns: 2, acknowledged: 2 })
  })

  test(`that send ${CROWD} messages at once and wait: one runs, ${LINE} wait in line, the others are refused`, async (context) => {
    const { url, provider } = { url: world.server.url, provider: world.provider }
    const id = await createConversation(url)
    const gate = Promise.withResolvers<void>()
    provider.script([{ ...chatReply(['Answer']), before: gate.promise }])
    const before = provider.requests.length
    const sends = Array.from({ length: CROWD }, (_, i) => send(url, id, `message ${i}`, '?onBusy=wait'))
    let refused = 0
    for (const sent of sends) {
      void sent.then(({ status }) => {
        if (status === 429 && ++refused === CROWD - 1 - LINE) gate.resolve()
      })
    }
    const answers = await Promise.all(sends)
    const accepted = answers.filter(({ status }) => status === 200)
    const others = answers.filter(({ status }) => status !== 200)
    expect(accepted).toHaveLength(1 + LINE)
    expect(others.every(({ status }) => status === 429)).toBe(true)
    expect(others.every(({ headers }) => Number(headers['retry-after']) >= 1)).toBe(true)

    const runs = await runsOf(url, id)
    expect(runs.map(({ status }) => status)).toEqual(Array(1 + LINE).fill('completed'))
    // First come, first served: the order of the runs, of the messages, and of the calls of the model are one.
    const starts = runs.map(({ startedAt }) => startedAt)
    expect(starts).toEqual([...starts].sort())
    const talk = await messagesOf(url, id)
    expect(talk.map(([role]) => role)).toEqual(Array.from({ length: 1 + LINE }, () => ['user', 'assistant']).flat())
    const said = talk.filter(([role]) => role === 'user').map(([, content]) => content)
    expect(new Set(said).size).toBe(1 + LINE)
    const asked = provider.requests.slice(before).map(({ body }) => {
      const { messages } = body as { messages: { content: string }[] }
      return messages.at(-1)?.content
    })
    expect(asked).toEqual(said)
    report(context, 'crowds', { faults: CROWD, turns: runs.length, acknowledged: 2 * accepted.length })
  })

  test('that wait and vanish leave the line in order', async (context) => {
    const { url, provider } = { url: world.server.url, provider: world.provider }
    const id = await createConversation(url)
    const gate = Promise.withResolvers<void>()
    provider.script([{ ...chatReply(['First']), before: gate.promise }])
    const first = send(url, id, 'first')
    await until('the first turn runs', async () => (await runsOf(url, id)).length === 1)
    const away = new AbortController()
    const gone = fetch(`${url}/conversations/${id}/chat?onBusy=wait&onDisconnect=cancel`, {
      method: 'PATCH',
      headers: { 'x-hl-api-key': world.env['DRAMATIS_API_KEY'] ?? '', 'content-type': 'application/json' },
      body: '{"message":"gone"}',
      signal: away.signal,
    }).catch(() => null)
    await until('the second waits', async () => (await runsOf(url, id)).length === 2)
    const third = send(url, id, 'third', '?onBusy=wait')
    await until('the third waits', async () => (await runsOf(url, id)).length === 3)
    away.abort()
    await gone
    await until('the second has left', async () => (await runsOf(url, id))[1]?.status === 'cancelled')
    gate.resolve()
    expect([(await first).status, (await third).status]).toEqual([200, 200])
    expect((await runsOf(url, id)).map(({ status }) => status)).toEqual(['completed', 'cancelled', 'completed'])
    await expectNextTurn(world, id)
    report(context, 'crowds', { faults: 1, turns: 4, acknowledged: 4 })
  })
})

/** Memory that a process holds; null where the system does not tell. */
function residentBytes(pid: number): number | null {
  try {
    const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
    return kilobytes === undefined ? null : Number(kilobytes) * 1_024
  } catch {
    return null
  }
}

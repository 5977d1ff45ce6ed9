import { setTimeout as wait } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Json } from '../support/app.ts'
import { onEveryDatabase } from '../support/databases.ts'
import { type Behaviour, chatChunk, chatReply } from '../support/provider-server.ts'
import { findUnacceptable } from './support/replies.ts'
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
  type World,
} from './support/world.ts'

const STREAM = { 'content-type': 'text/event-stream' }
const TWO_TOKENS = [token('One'), token(' two')]

type Case = {
  what: string
  behaviours: Behaviour[]
  timeouts?: Json
  /** The text that is kept. */
  text: string
  /** The status when there is no text, the finish reason when there is. */
  ends: number | string
  attempts: string[]
}

/** A timeout that the next turn, which is answered, keeps also on a busy machine. */
const SHORT_MS = 1_500

const CASES: Case[] = [
  {
    what: 'never answers',
    behaviours: [{ isSilent: true }],
    timeouts: { firstTokenMs: SHORT_MS },
    text: '',
    ends: 504,
    attempts: ['timeout'],
  },
  {
    what: 'sends its head and then nothing',
    behaviours: [{ headers: STREAM, ending: 'hang' }],
    timeouts: { firstTokenMs: SHORT_MS },
    text: '',
    ends: 504,
    attempts: ['timeout'],
  },
  {
    what: 'stalls in mid-sentence',
    behaviours: [{ headers: STREAM, pieces: TWO_TOKENS, ending: 'hang' }],
    timeouts: { betweenTokensMs: SHORT_MS },
    text: 'One two',
    ends: 'error',
    attempts: ['timeout'],
  },
  {
    what: 'takes longer than a turn may',
    behaviours: [chatReply(Array(400).fill('.'), { delayMs: 50 })],
    timeouts: { totalMs: SHORT_MS },
    text: '.',
    ends: 'error',
    attempts: ['timeout'],
  },
  {
    what: 'cuts the connection in mid-sentence',
    behaviours: [{ headers: STREAM, pieces: [...TWO_TOKENS, { waitMs: 50 }], ending: 'cut' }],
    text: 'One two',
    ends: 'error',
    attempts: ['failed'],
  },
  {
    what: 'cuts the connection in the middle of an event',
    behaviours: [
      { headers: STREAM, pieces: [...TWO_TOKENS, token(' three').slice(0, -20), { waitMs: 50 }], ending: 'cut' },
    ],
    text: 'One two',
    ends: 'error',
    attempts: ['failed'],
  },
  {
    what: 'ends without a finish reason',
    behaviours: [{ headers: STREAM, pieces: TWO_TOKENS }],
    text: 'One two',
    ends: 'error',
    attempts: ['failed'],
  },
  {
    what: 'sends garbage in mid-sentence',
    behaviours: [{ headers: STREAM, pieces: [...TWO_TOKENS, 'data: {"choices": [{{{\n\n', '\0\xff<html>\n\n'] }],
    text: 'One two',
    ends: 'error',
    attempts: ['failed'],
  },
  {
    what: 'sends an error in mid-sentence',
    behaviours: [
      { headers: STREAM, pieces: [...TWO_TOKENS, 'data: {"error":{"message":"overloaded","code":500}}\n\n'] },
    ],
    text: 'One two',
    ends: 'error',
    attempts: ['failed'],
  },
  {
    what: 'cuts every connection before it says anything',
    behaviours: Array(3).fill({ headers: STREAM, ending: 'cut' }),
    text: '',
    ends: 502,
    attempts: ['failed', 'failed', 'failed'],
  },
  {
    what: 'answers 500 each time',
    behaviours: Array(3).fill({ status: 500, pieces: ['{"error":{"message":"no"}}'] }),
    text: '',
    ends: 502,
    attempts: ['failed', 'failed', 'failed'],
  },
  {
    what: 'answers 429 and then succeeds',
    behaviours: [{ status: 429, headers: { 'retry-after': '0' }, pieces: ['{}'] }, chatReply(['Here', ' I', ' am'])],
    text: 'Here I am',
    ends: 'stop',
    attempts: ['rate_limited', 'completed'],
  },
  {
    what: 'answers 500 twice and then succeeds',
    behaviours: [{ status: 500 }, { status: 500 }, chatReply(['Here', ' I', ' am'])],
    text: 'Here I am',
    ends: 'stop',
    attempts: ['failed', 'failed', 'completed'],
  },
]

onEveryDatabase('a provider that', (kind) => {
  let world: World
  beforeAll(async () => {
    world = await openWorld(kind)
  })
  afterAll(() => world.close())

  test.for(CASES)('$what: the reply so far is kept, the record tells, the next turn works', async (given, context) => {
    const { provider, server } = world
    const id = await createConversation(server.url, given.timeouts ? { timeouts: given.timeouts } : {})
    provider.script(given.behaviours)
    const opened = await openStream(server.url, id, 'Hi')
    const heard = await hear(opened)
    const runId = String((await runsOf(server.url, id))[0]?.runId)
    const run = await ended(server.url, id, runId)

    const isWell = given.ends === 'stop'
    expect(run.attempts.map(({ outcome }) => outcome)).toEqual(given.attempts)
    expect(run).toMatchObject({ status: isWell ? 'completed' : 'failed', finishReason: isWell ? 'stop' : 'error' })
    expect(run.error === null).toBe(isWell)
    if (given.text === '') {
      expect(opened.status).toBe(given.ends)
      expect(await messagesOf(server.url, id)).toEqual([['user', 'Hi']])
    } else {
      expect(opened.status).toBe(200)
      expect(heard).toMatchObject({ finishReason: given.ends, isWhole: true })
      expect(heard.text.startsWith(given.text)).toBe(true)
      expect(await messagesOf(server.url, id)).toEqual([
        ['user', 'Hi'],
        ['assistant', heard.text],
      ])
      expect((await replay(server.url, id, runId)).blocks).toEqual(heard.blocks)
    }
    await expectNextTurn(world, id)
    expect(findUnacceptable(provider)).toEqual([])
    report(context, 'providers', { faults: 1, turns: 2, acknowledged: 2 })
  })

  test('fails after any number of tokens: just these are kept', async (context) => {
    const { provider, server } = world
    for (let count = 1; count <= 12; count++) {
      const id = await createConversation(server.url)
      const tokens = Array.from({ length: count }, (_, i) => `t${i} `)
      provider.script([chatReply(tokens, { finishReason: null, ending: 'cut' })])
      const answer = await send(server.url, id, 'Hi')
      expect(answer.status).toBe(502)
      // A cut connection may take with it what was still under way, but nothing that is out of order or doubled.
      const kept = (await messagesOf(server.url, id))[1]?.[1] ?? ''
      expect(tokens.join('').startsWith(kept)).toBe(true)
      await expectNextTurn(world, id)
    }
    report(context, 'providers', { faults: 12, turns: 24, acknowledged: 24 })
  })

  test('is cancelled: its connection is closed at once, and the text kept is what was sent', async (context) => {
    const { provider, server } = world
    const times: number[] = []
    for (let i = 0; i < 15; i++) {
      const id = await createConversation(server.url)
      // Unbroken it would take a minute.
      provider.script([chatReply(Array(3_000).fill('word '), { delayMs: 20 })])
      const opened = await openStream(server.url, id, 'Go on')
      const runId = String(opened.headers['x-dramatis-run-id'])
      const asked = provider.requests.at(-1)
      const begun = Promise.withResolvers<void>()
      const heard = hear(opened, (_block, count) => count > 1 && begun.resolve())
      await begun.promise
      await wait(5 * i)
      const cancelledAt = performance.now()
      const closed = asked?.closedByClient.then((wasUs) => {
        times.push(performance.now() - cancelledAt)
        return wasUs
      })
      const receipt = await call(server.url, 'POST', `/conversations/${id}/runs/${runId}/cancel`)
      expect(await closed).toBe(true)
      const { text, finishReason } = await heard
      expect(finishReason).toBe('cancelled')
      expect(text.length).toBeGreaterThan(0)
      expect(receipt.body).toMatchObject({ status: 'cancelled', finishReason: 'cancelled', textLength: text.length })
      expect((await messagesOf(server.url, id))[1]).toEqual(['assistant', text])
      await expectNextTurn(world, id)
    }
    times.sort((a, b) => a - b)
    console.log(
      `a cancelled provider's connection is closed after ${times[7]?.toFixed(1)} ms (median of ${times.length})`,
    )
    expect(times.at(-1)).toBeLessThan(20_000)
    report(context, 'cancels', { faults: 15, turns: 30, acknowledged: 45 })
  })
})

function token(content: string): string {
  return chatChunk([{ index: 0, delta: { content }, finish_reason: null }])
}

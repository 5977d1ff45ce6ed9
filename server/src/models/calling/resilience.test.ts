import { Agent } from 'undici'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import {
  type Behaviour,
  chatReply,
  type ProviderServer,
  startProviderServer,
} from '../../../../test/support/provider-server.ts'
import type { ModelCaller } from '../model.ts'
import type { ChainLink } from '../model-call.ts'
import { readProviderSettings } from '../providers/provider-settings.ts'
import { createModelRegistry, type ModelRegistry } from '../providers/registry.ts'
import type { ModelSettings } from '../settings.ts'
import { createResilience, type GenerateOptions, type ResilienceOptions } from './resilience.ts'

const SERVER: ChainLink = { aiSystem: 'openai-compatible', model: 'm1' }
const REHEARSAL: ChainLink = { aiSystem: 'rehearsal', model: 'rehearsal' }
const NOT_CONFIGURED: ChainLink = { aiSystem: 'anthropic', model: 'default' }
/** One caller on the whole server. */
const CALLER: ModelCaller = { organizationId: 'o', keyId: 'k', conversationId: 'c' }
const DOWN: Behaviour = { status: 500, pieces: ['{"error":{"message":"down"}}'] }

let provider: ProviderServer
let registry: ModelRegistry
const dispatcher = new Agent()

beforeAll(async () => {
  provider = await startProviderServer()
  const settings = readProviderSettings({ OPENAI_COMPATIBLE_BASE_URL: `${provider.url}/v1` })
  registry = createModelRegistry({ settings, dispatcher, clock: Date.now })
})
afterAll(async () => {
  await dispatcher.destroy()
  await provider.close()
})
beforeEach(() => {
  provider.requests.length = 0
  provider.always(null)
})

/** A turn with pauses that take no time; `pauses` are what they would have been. */
function stage(options: Partial<ResilienceOptions> = {}) {
  const pauses: number[] = []
  const resilience = createResilience({
    registry,
    clock: Date.now,
    random: () => 0,
    sleep: async (ms) => void pauses.push(ms),
    ...options,
  })
  const texts: string[] = []
  const run = (
    chain: ChainLink[],
    settings: ModelSettings = {},
    more: Partial<GenerateOptions> = {},
    signal = new AbortController().signal,
  ) =>
    resilience.generate({
      chain,
      caller: CALLER,
      request: { system: null, messages: [{ role: 'user', content: 'Hello' }], settings, signal },
      onText: (text) => texts.push(text),
      ...more,
    })
  return { run, texts, pauses }
}

describe('an answer', () => {
  test('comes with the attempt that it took', async () => {
    let now = 1_000
    const { run, texts } = stage({ clock: () => now++ })
    provider.script([chatReply(['a', 'b'])])
    const usage = { promptTokens: 7, completionTokens: 2 }
    expect(await run([SERVER, REHEARSAL])).toEqual({
      ok: true,
      ...SERVER,
      result: { finishReason: 'stop', usage },
      attempts: [
        { ...SERVER, startedAt: 1_000, firstTokenAt: 1_001, endedAt: 1_002, outcome: 'completed', error: null, usage },
      ],
    })
    expect(texts).toEqual(['a', 'b'])
  })

  test('says who answers before it says anything', async () => {
    const { run } = stage()
    const said: unknown[] = []
    provider.script([chatReply(['a', 'b'])])
    await run([SERVER], {}, { onText: (text) => said.push(text), onFirstToken: (answering) => said.push(answering) })
    expect(said).toEqual([SERVER, 'a', 'b'])
  })

  test('may be empty', async () => {
    const { run } = stage()
    expect(await run([REHEARSAL], { rehearsal: { text: '' } })).toMatchObject({
      ok: true,
      attempts: [{ firstTokenAt: null }],
    })
  })
})

describe('a failure before the first text', () => {
  test('is tried again, after pauses that double', async () => {
    const { run, texts, pauses } = stage({ random: () => 0.5 })
    provider.script([DOWN, DOWN, chatReply(['a'])])
    const outcome = await run([SERVER, REHEARSAL])
    expect(outcome).toMatchObject({ ok: true, ...SERVER })
    expect(outcome.attempts.map(({ outcome }) => outcome)).toEqual(['failed', 'failed', 'completed'])
    expect(outcome.attempts[0]).toMatchObject({
      error: 'OpenAI-compatible server answered 500: down',
      firstTokenAt: null,
      usage: null,
    })
    expect(pauses).toEqual([187.5, 375])
    expect(texts).toEqual(['a'])
  })

  test('goes to the fallback after two retries', async () => {
    const { run } = stage()
    provider.script([DOWN, DOWN, DOWN])
    const outcome = await run([SERVER, REHEARSAL])
    expect(outcome).toMatchObject({ ok: true, ...REHEARSAL })
    expect(outcome.attempts.map(({ aiSystem }) => aiSystem)).toEqual([
      ...Array(3).fill('openai-compatible'),
      'rehearsal',
    ])
    expect(provider.requests).toHaveLength(3)
  })

  test('waits as long as the provider asks for', async () => {
    const { run, pauses } = stage()
    provider.script([{ status: 429, headers: { 'retry-after': '3' } }, chatReply(['a'])])
    expect((await run([SERVER])).attempts.map(({ outcome }) => outcome)).toEqual(['rate_limited', 'completed'])
    expect(pauses).toEqual([3_000])
  })

  test('goes to the fallback at once when that is too long', async () => {
    const { run, pauses } = stage()
    provider.script([{ status: 429, headers: { 'retry-after': '60' } }])
    expect(await run([SERVER, REHEARSAL])).toMatchObject({ ok: true, ...REHEARSAL })
    expect(pauses).toEqual([])
  })

  test('that no waiting helps goes to the fallback at once', async () => {
    const { run } = stage()
    provider.script([{ status: 404, pieces: ['{"error":{"message":"no such model"}}'] }])
    const outcome = await run([SERVER, REHEARSAL])
    expect(outcome.attempts.map(({ outcome }) => outcome)).toEqual(['refused', 'completed'])
  })

  test('without a fallback is the error, with how long to wait', async () => {
    const { run } = stage()
    provider.script([{ status: 429, headers: { 'retry-after': '60' } }])
    const outcome = await run([SERVER])
    expect(outcome).toMatchObject({ ok: false, error: { kind: 'rate_limited', retryAfterMs: 60_000 } })
  })

  test('is explained by a provider that was asked, not by a fallback that was not', async () => {
    const { run } = stage({ retries: 0 })
    provider.script([DOWN])
    const outcome = await run([SERVER, NOT_CONFIGURED])
    expect(outcome).toMatchObject({ ok: false, error: { kind: 'failed', status: 500 } })
    expect(outcome.attempts.map(({ outcome }) => outcome)).toEqual(['failed', 'not_configured'])
  })

  test('of configuration names what is missing', async () => {
    const outcome = await stage().run([NOT_CONFIGURED])
    expect(outcome).toMatchObject({
      ok: false,
      error: { kind: 'not_configured', message: 'anthropic is not configured: set ANTHROPIC_API_KEY' },
    })
  })

  test('does not wait beyond the end of the turn', async () => {
    const { run, pauses } = stage()
    provider.script([{ status: 429, headers: { 'retry-after': '5' } }])
    expect(await run([SERVER, REHEARSAL], { timeouts: { totalMs: 4_000 } })).toMatchObject({ ok: true, ...REHEARSAL })
    expect(pauses).toEqual([])
  })

  test('tells the model which attempt it is, retries and fallbacks counted together', async () => {
    const { run } = stage()
    const rehearsal = { text: 'a', failures: 4 }
    const outcome = await run([NOT_CONFIGURED, REHEARSAL, REHEARSAL], { rehearsal })
    expect(outcome.ok).toBe(true)
    expect(outcome.attempts.map(({ outcome }) => outcome)).toEqual([
      'not_configured',
      'failed',
      'failed',
      'failed',
      'failed',
      'completed',
    ])
  })

  test('without anybody to ask is one', async () => {
    expect(await stage().run([])).toMatchObject({ ok: false, error: { kind: 'not_configured' }, attempts: [] })
  })
})

describe('a failure after the first text', () => {
  test.each([
    ['a cut connection', chatReply(['a'], { finishReason: null, ending: 'cut' })],
    ['no finish reason', chatReply(['a'], { finishReason: null })],
  ])('by %s is final', async (_name, behaviour) => {
    const { run, texts } = stage()
    provider.script([behaviour])
    const outcome = await run([SERVER, REHEARSAL])
    expect(outcome).toMatchObject({ ok: false, error: { kind: 'failed' } })
    expect(outcome.attempts).toHaveLength(1)
    expect(outcome.attempts[0]?.firstTokenAt).toBeGreaterThan(0)
    expect(texts).toEqual(['a'])
    expect(provider.requests).toHaveLength(1)
  })
})

describe('a timeout', () => {
  test('before the first text closes the connection and goes to the fallback', async () => {
    const { run } = stage({ timeouts: { firstTokenMs: 500 } })
    provider.script([{ isSilent: true }])
    const outcome = await run([SERVER, REHEARSAL])
    expect(outcome).toMatchObject({ ok: true, ...REHEARSAL })
    expect(outcome.attempts[0]).toMatchObject({
      outcome: 'timeout',
      error: 'OpenAI-compatible server sent nothing within 500 ms',
    })
    expect(await provider.requests[0]?.closedByClient).toBe(true)
  })

  test('counts text, not signs of life', async () => {
    const { run } = stage()
    const pings = Array.from({ length: 100 }, () => [': ping\n\n', { waitMs: 10 }]).flat()
    provider.script([{ pieces: pings, ending: 'hang' }])
    const outcome = await run([SERVER], { timeouts: { firstTokenMs: 50 } })
    expect(outcome).toMatchObject({ ok: false, error: { kind: 'timeout' } })
  })

  test('between two texts is final', async () => {
    const { run, texts } = stage()
    provider.script([chatReply(['a'], { finishReason: null, ending: 'hang' })])
    const outcome = await run([SERVER, REHEARSAL], { timeouts: { betweenTokensMs: 50 } })
    expect(outcome).toMatchObject({ ok: false, error: { kind: 'timeout' } })
    expect(outcome.attempts).toHaveLength(1)
    expect(texts).toEqual(['a'])
    expect(await provider.requests[0]?.closedByClient).toBe(true)
  })

  test('of the whole turn ends it, retries and fallbacks too', async () => {
    const { run } = stage()
    provider.script([{ isSilent: true }])
    const outcome = await run([SERVER, REHEARSAL], { timeouts: { totalMs: 300 } })
    expect(outcome).toMatchObject({ ok: false, error: { kind: 'timeout' } })
    expect(outcome.attempts).toHaveLength(1)
    // On a busy machine it may come later than the timeout, and would take the script of the next test.
    await expect.poll(() => provider.requests.length).toBe(1)
  })
})

describe('giving up', () => {
  test('while it answers closes the connection', async () => {
    const controller = new AbortController()
    const { run } = stage()
    provider.script([chatReply(['a'], { finishReason: null, ending: 'hang' })])
    const outcome = await run([SERVER, REHEARSAL], {}, { onText: () => controller.abort() }, controller.signal)
    expect(outcome).toMatchObject({ ok: false, error: { kind: 'aborted' }, attempts: [{ outcome: 'aborted' }] })
    expect(await provider.requests[0]?.closedByClient).toBe(true)
  })

  test('in the pause before a retry makes no further request', async () => {
    const controller = new AbortController()
    const { run } = stage({ sleep: async () => controller.abort() })
    provider.script([DOWN])
    const outcome = await run([SERVER, REHEARSAL], {}, {}, controller.signal)
    expect(outcome).toMatchObject({ ok: false, error: { kind: 'aborted' } })
    expect(provider.requests).toHaveLength(1)
  })

  test('before the start asks nobody', async () => {
    const outcome = await stage().run([SERVER], {}, {}, AbortSignal.abort())
    expect(outcome).toMatchObject({ ok: false, error: { kind: 'aborted' }, attempts: [] })
    expect(provider.requests).toHaveLength(0)
  })

  test('really waits in a real pause, and leaves it at once', async () => {
    const controller = new AbortController()
    const resilience = createResilience({ registry, clock: Date.now })
    provider.script([{ status: 429, headers: { 'retry-after': '20' } }])
    const request = { system: null, messages: [], settings: {}, signal: controller.signal }
    const asked = resilience.generate({ chain: [SERVER], caller: CALLER, request, onText: () => {} })
    await expect.poll(() => provider.requests.length).toBe(1)
    setTimeout(() => controller.abort(), 30)
    expect(await asked).toMatchObject({ ok: false, error: { kind: 'aborted' } })
  })
})

test('what the reader throws passes through, and the connection is closed', async () => {
  const { run } = stage()
  const mine = new Error('mine')
  provider.script([chatReply(['a'], { finishReason: null, ending: 'hang' })])
  const asked = run(
    [SERVER, REHEARSAL],
    {},
    {
      onText: () => {
        throw mine
      },
    },
  )
  await expect(asked).rejects.toBe(mine)
  expect(await provider.requests[0]?.closedByClient).toBe(true)
})

describe('the breaker', () => {
  test('leaves a provider alone after ten failures, and asks again later', async () => {
    let now = 0
    const { run } = stage({ retries: 0, now: () => now })
    provider.always(DOWN)
    for (let i = 0; i < 10; i++) await run([SERVER])
    expect(provider.requests).toHaveLength(10)

    const refused = await run([SERVER])
    expect(refused).toMatchObject({ ok: false, error: { kind: 'unavailable', retryAfterMs: 15_000 } })
    expect(await run([SERVER, REHEARSAL])).toMatchObject({ ok: true, ...REHEARSAL })
    expect(provider.requests).toHaveLength(10)

    now = 15_000
    provider.always(null)
    expect(await run([SERVER])).toMatchObject({ ok: true })
    expect(await run([SERVER])).toMatchObject({ ok: true })
    expect(provider.requests).toHaveLength(12)
  })

  test.each([400, 401, 403, 404, 429])(
    'is not opened by %i: the request, the key or the model is at fault',
    async (status) => {
      const { run } = stage({ retries: 0 })
      provider.always({ status })
      for (let i = 0; i < 12; i++) await run([SERVER])
      expect(provider.requests).toHaveLength(12)
    },
  )

  test.each<[string, Behaviour]>([
    ['500', { status: 500 }],
    ['an overload', { status: 529 }],
    ['a cut connection', chatReply([], { finishReason: null, ending: 'cut' })],
  ])('is opened by %s', async (_name, behaviour) => {
    const { run } = stage({ retries: 0 })
    provider.always(behaviour)
    for (let i = 0; i < 12; i++) await run([SERVER])
    expect(provider.requests).toHaveLength(10)
  })

  test('is opened by our own timeout, and not by a shorter one of a caller', async () => {
    const { run } = stage({ retries: 0, timeouts: { firstTokenMs: 40 } })
    provider.always({ isSilent: true })
    for (let i = 0; i < 12; i++) await run([SERVER], { timeouts: { firstTokenMs: 1 } })
    expect((await run([SERVER])).attempts[0]?.outcome).toBe('timeout')
    for (let i = 0; i < 12; i++) await run([SERVER])
    expect((await run([SERVER])).attempts[0]?.outcome).toBe('unavailable')
    // Longer than ours is as good.
    expect((await run([SERVER], { timeouts: { firstTokenMs: 1 } })).attempts[0]?.outcome).toBe('unavailable')
  })

  test('is opened for one model of one caller, and not for another', async () => {
    const { run } = stage({ retries: 0 })
    provider.always(DOWN)
    for (let i = 0; i < 11; i++) await run([SERVER])
    expect(provider.requests).toHaveLength(10)
    provider.always(null)
    expect(await run([{ ...SERVER, model: 'm2' }])).toMatchObject({ ok: true })
    for (const other of [{ conversationId: 'd' }, { keyId: 'l' }, { organizationId: 'p' }]) {
      expect(await run([SERVER], {}, { caller: { ...CALLER, conversationId: 'e', ...other } })).toMatchObject({
        ok: true,
      })
    }
  })

  test('is not opened by those who went away', async () => {
    const { run } = stage()
    provider.always(chatReply(['a'], { finishReason: null, ending: 'hang' }))
    for (let i = 0; i < 12; i++) {
      const controller = new AbortController()
      await run([SERVER], {}, { onText: () => controller.abort() }, controller.signal)
    }
    expect(provider.requests).toHaveLength(12)
  })

  test('does not take a rehearsal for the real thing', async () => {
    const { run } = stage({ retries: 0 })
    for (let i = 0; i < 12; i++) await run([REHEARSAL], { rehearsal: { failure: 'error' } })
    expect(await run([REHEARSAL])).toMatchObject({ ok: true })
  })
})

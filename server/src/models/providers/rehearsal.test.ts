import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { ModelRequest, ModelResult } from '../model.ts'
import { ModelError } from '../model-error.ts'
import type { ModelSettings } from '../settings.ts'
import { createRehearsalModel, splitTokens } from './rehearsal.ts'

const model = createRehearsalModel()

function requestWith(settings: ModelSettings, more: Partial<ModelRequest> = {}): ModelRequest {
  return {
    system: 'You are a prompter.',
    messages: [{ role: 'user', content: 'To be, or not to be?' }],
    settings,
    attempt: 0,
    signal: new AbortController().signal,
    ...more,
  }
}

async function perform(settings: ModelSettings, more: Partial<ModelRequest> = {}) {
  const texts: string[] = []
  let result: ModelResult | null = null
  let error: ModelError | null = null
  try {
    result = await model.generate(requestWith(settings, more), (text) => texts.push(text))
  } catch (thrown) {
    if (!(thrown instanceof ModelError)) throw thrown
    error = thrown
  }
  return { texts, result, error }
}

describe('the rehearsal', () => {
  test('says by itself that it is no language model, and quotes the message', async () => {
    const { texts } = await perform({})
    expect(texts.join('')).toContain('This is a rehearsal and not a language model')
    expect(texts.join('')).toContain('“To be, or not to be?”')
  })

  test('quotes only the beginning of a long one', async () => {
    const content = `${'a'.repeat(119)}🐈${'b'.repeat(500)}`
    const { texts } = await perform({}, { messages: [{ role: 'user', content }] })
    expect(texts.join('').length).toBeLessThan(300)
    expect(texts.join('').isWellFormed()).toBe(true)
  })

  test('does the same twice', async () => {
    expect(await perform({})).toEqual(await perform({}))
  })

  test('speaks its script, token by token, and counts', async () => {
    const { texts, result } = await perform({ rehearsal: { text: 'One two\n three.' } })
    expect(texts).toEqual(['One', ' two', '\n three.'])
    // 4 of the system text and 6 of the message.
    expect(result).toEqual({ finishReason: 'stop', usage: { promptTokens: 10, completionTokens: 3 } })
  })

  test('can say nothing at all', async () => {
    const { texts, result } = await perform({ rehearsal: { text: '' } })
    expect(texts).toEqual([])
    expect(result).toMatchObject({ finishReason: 'stop', usage: { completionTokens: 0 } })
  })

  test('stops at maxTokens', async () => {
    const { texts, result } = await perform({ maxTokens: 2, rehearsal: { text: 'One two three' } })
    expect(texts).toEqual(['One', ' two'])
    expect(result).toMatchObject({ finishReason: 'length', usage: { completionTokens: 2 } })
  })

  test('stops before the first of its stop sequences', async () => {
    const { texts, result } = await perform({ stop: ['three', ' two'], rehearsal: { text: 'One two three' } })
    expect(texts).toEqual(['One'])
    expect(result?.finishReason).toBe('stop')
  })

  test('ends as its script says', async () => {
    const { result } = await perform({ rehearsal: { text: 'x', finishReason: 'content_filter' } })
    expect(result?.finishReason).toBe('content_filter')
  })

  test('lets the event loop turn between two tokens', async () => {
    let turns = 0
    const count = () => {
      turns++
      pending = setImmediate(count)
    }
    let pending = setImmediate(count)
    const seen: number[] = []
    await model.generate(requestWith({ rehearsal: { text: 'a b c d' } }), () => seen.push(turns))
    clearImmediate(pending)
    expect(new Set(seen).size).toBe(4)
  })

  test('takes its time', async () => {
    const startedAt = performance.now()
    await perform({ rehearsal: { text: 'a b c', tokensPerSecond: 50, delayMs: 20 } })
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(55)
  })
})

describe('a rehearsed failure', () => {
  test.each([
    ['error', 'failed', 500],
    ['rate_limit', 'rate_limited', 429],
    ['cut', 'failed', undefined],
  ] as const)('%s before the first token', async (failure, kind, status) => {
    const { texts, error } = await perform({ rehearsal: { failure } })
    expect(texts).toEqual([])
    expect(error).toMatchObject({ kind, status, retryable: true, aiSystem: 'rehearsal' })
  })

  test('at a token, after those before it', async () => {
    const { texts, error } = await perform({ rehearsal: { text: 'a b c', failAtToken: 2 } })
    expect(texts).toEqual(['a', ' b'])
    expect(error?.kind).toBe('failed')
  })

  test('beyond the last token instead of the end', async () => {
    const { texts, error } = await perform({ rehearsal: { text: 'a b', failAtToken: 9, failure: 'cut' } })
    expect(texts).toEqual(['a', ' b'])
    expect(error?.message).toBe('Rehearsal ended without a finish reason')
  })

  test('only for the first attempts', async () => {
    const settings = { rehearsal: { text: 'a', failures: 2 } }
    expect((await perform(settings, { attempt: 0 })).error?.kind).toBe('failed')
    expect((await perform(settings, { attempt: 1 })).error?.kind).toBe('failed')
    expect((await perform(settings, { attempt: 2 })).texts).toEqual(['a'])
  })
})

describe('giving up', () => {
  test.each([
    ['in the delay before the first token', { delayMs: 600_000 }],
    ['in a silence', { failure: 'hang' }],
    ['between two slow tokens', { text: 'a b', tokensPerSecond: 0.001 }],
  ] as const)('%s', async (_name, rehearsal) => {
    const controller = new AbortController()
    setTimeout(() => controller.abort(), 10)
    const { error } = await perform({ rehearsal }, { signal: controller.signal })
    expect(error).toMatchObject({ kind: 'aborted', retryable: false })
  })

  test('between two fast tokens', async () => {
    const controller = new AbortController()
    const texts: string[] = []
    const asked = model.generate(
      requestWith({ rehearsal: { text: 'a b c' } }, { signal: controller.signal }),
      (text) => {
        texts.push(text)
        controller.abort()
      },
    )
    await expect(asked).rejects.toMatchObject({ kind: 'aborted' })
    expect(texts).toEqual(['a'])
  })

  test('before anything', async () => {
    const { texts, error } = await perform({}, { signal: AbortSignal.abort() })
    expect(texts).toEqual([])
    expect(error?.kind).toBe('aborted')
  })
})

test('the tokens of any text are the text', () => {
  fc.assert(
    fc.property(
      fc.oneof(fc.string({ unit: 'binary' }), fc.string({ unit: fc.constantFrom(' ', '\n', 'a', '\u00a0') })),
      (text) => {
        const tokens = splitTokens(text)
        expect(tokens.join('')).toBe(text)
        expect(tokens).not.toContain('')
      },
    ),
  )
})

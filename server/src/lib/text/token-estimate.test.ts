import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { countTokens as countCl100k } from 'gpt-tokenizer/encoding/cl100k_base'
import { countTokens as countO200k } from 'gpt-tokenizer/encoding/o200k_base'
import { describe, expect, test } from 'vitest'
import { estimateTokens } from './token-estimate.ts'

type Sample = { name: string; text: string }

const samples = JSON.parse(
  readFileSync(new URL('../fixtures/token-samples.json', import.meta.url), 'utf8'),
) as readonly Sample[]

/** Tokenizers of very different age, and how much more than them the estimate may be on the whole sample. */
const TOKENIZERS = [
  { name: 'o200k', count: (text: string) => countO200k(text), most: 1.7 },
  { name: 'cl100k', count: (text: string) => countCl100k(text), most: 1.3 },
]

test('the sample is large and mixed', () => {
  expect(samples.length).toBeGreaterThan(60)
  expect(new Set(samples.map(({ name }) => name)).size).toBe(samples.length)
})

describe.each(TOKENIZERS)('against $name', ({ count, most }) => {
  test.each(samples)('$name is not undercounted by more than 10 %', ({ text }) => {
    expect(estimateTokens(text)).toBeGreaterThanOrEqual(0.9 * count(text))
  })

  test('the whole sample is not overcounted wildly', () => {
    const all = samples.map(({ text }) => text).join('\n')
    const ratio = estimateTokens(all) / count(all)
    expect(ratio).toBeGreaterThan(1)
    expect(ratio).toBeLessThan(most)
  })

  test('texts put together from pieces of the sample are not undercounted either', () => {
    const piece = fc
      .record({ sample: fc.constantFrom(...samples), from: fc.nat(200), length: fc.integer({ min: 40, max: 200 }) })
      .map(({ sample, from, length }) =>
        sample.text
          .slice(from % sample.text.length)
          .slice(0, length)
          .toWellFormed(),
      )
    fc.assert(
      fc.property(fc.array(piece, { minLength: 8, maxLength: 20 }), (pieces) => {
        const text = pieces.join('\n')
        expect(estimateTokens(text)).toBeGreaterThanOrEqual(0.9 * count(text))
      }),
      { numRuns: 200 },
    )
  })
})

test('a text costs about the same in one piece and in two', () => {
  fc.assert(
    fc.property(
      fc.string({ unit: 'binary', maxLength: 300 }),
      fc.string({ unit: 'binary', maxLength: 300 }),
      (a, b) => {
        const apart = estimateTokens(a) + estimateTokens(b)
        expect(Math.abs(apart - estimateTokens(a + b))).toBeLessThanOrEqual(4)
      },
    ),
  )
})

test('nothing is nothing', () => {
  expect(estimateTokens('')).toBe(0)
  expect(estimateTokens('a')).toBe(1)
})

describe('texts that are made to be undercounted', () => {
  const most = (text: string) => Math.max(...TOKENIZERS.map(({ count }) => count(text)))
  const letters = (from: number, to: number) =>
    fc
      .array(fc.integer({ min: from, max: to }), { minLength: 200, maxLength: 300 })
      .map((units) => String.fromCharCode(...units))

  test('of one character again and again, or of two, by 40 % at worst', () => {
    const characters = Array.from({ length: 128 }, (_, unit) => String.fromCharCode(unit))
    const pairs = characters.flatMap((one) => ['"', '{', '\r', '\0', '('].map((other) => one + other))
    const wrong = [...characters, ...pairs].filter(
      (text) => estimateTokens(text.repeat(200)) < 0.6 * most(text.repeat(200)),
    )
    expect(wrong).toEqual([])
  })

  test('of any ASCII characters', () => {
    fc.assert(
      fc.property(letters(0, 127), (text) => {
        expect(estimateTokens(text)).toBeGreaterThanOrEqual(0.9 * most(text))
      }),
    )
  })

  test('of letters that hardly anybody writes, 2.5 times at worst', () => {
    const anywhere = fc.integer({ min: 1, max: 0xd6 }).chain((page) => letters(page << 8, (page << 8) | 255))
    fc.assert(
      fc.property(anywhere, (text) => {
        expect(estimateTokens(text)).toBeGreaterThanOrEqual(most(text) / 2.5)
      }),
      { numRuns: 300 },
    )
  })
})

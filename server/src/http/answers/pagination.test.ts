import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createIdSource } from '../../lib/ids.ts'
import { createContinuationToken, readContinuationToken, toPage } from './pagination.ts'

const id = createIdSource(Date.now).next()

test('reads its own token, for the same query only', () => {
  const token = createContinuationToken('secret', ['list', { a: 1 }], id)
  expect(readContinuationToken('secret', ['list', { a: 1 }], token)).toBe(id)
  expect(() => readContinuationToken('secret', ['list', { a: 2 }], token)).toThrow(/continuationToken/)
  expect(() => readContinuationToken('other', ['list', { a: 1 }], token)).toThrow(/continuationToken/)
})

test('refuses every token it did not make', () => {
  const token = createContinuationToken('secret', 'q', id)
  fc.assert(
    fc.property(fc.integer({ min: 0, max: token.length - 1 }), fc.constantFrom(...'abcXYZ019-_'), (at, char) => {
      fc.pre(token[at] !== char)
      const changed = token.slice(0, at) + char + token.slice(at + 1)
      expect(() => readContinuationToken('secret', 'q', changed)).toThrow(/continuationToken/)
    }),
  )
  fc.assert(
    fc.property(fc.string(), (text) => {
      expect(() => readContinuationToken('secret', 'q', text)).toThrow(/continuationToken/)
    }),
  )
})

test('says that there is more only when there is', () => {
  const tokenBehind = (last: number) => `behind ${last}`
  expect(toPage([1, 2, 3], 2, tokenBehind)).toEqual({ data: [1, 2], continuationToken: 'behind 2' })
  expect(toPage([1, 2], 2, tokenBehind)).toEqual({ data: [1, 2], continuationToken: null })
  expect(toPage([], 2, tokenBehind)).toEqual({ data: [], continuationToken: null })
})

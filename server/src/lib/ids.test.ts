import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createIdSource, isUuid, timeOfUuid } from './ids.ts'

test('gives UUIDv7 in growing order, even when the clock stands still or goes back', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 2 ** 44 }), { minLength: 2, maxLength: 50 }), (times) => {
      let at = 0
      const ids = createIdSource(() => times[at++ % times.length] as number)
      const made = times.map(() => ids.next())
      expect(made).toEqual([...made].sort())
      expect(new Set(made).size).toBe(made.length)
      for (const id of made) expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    }),
  )
})

test('keeps the order within one millisecond, however many there are', () => {
  const ids = createIdSource(() => 1_000)
  const made = Array.from({ length: 10_000 }, () => ids.next())
  expect(made).toEqual([...made].sort())
})

test('gets ahead of an id from a node whose clock is fast', () => {
  const fast = createIdSource(() => 2_000_000).next()
  const slow = createIdSource(() => 1_000_000)
  const after = slow.nextAfter(fast)
  expect(after > fast).toBe(true)
  expect(slow.next() > after).toBe(true)
  expect(timeOfUuid(fast)).toBe(2_000_000)
})

test('knows a UUID when it sees one', () => {
  expect(isUuid('3C90C3CC-0D44-4B50-8888-8DD25736052A')).toBe(true)
  expect(isUuid('urn:uuid:3c90c3cc-0d44-4b50-8888-8dd25736052a')).toBe(false)
})

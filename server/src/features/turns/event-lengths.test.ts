import fc from 'fast-check'
import { expect, test } from 'vitest'
import { decodeLengths, encodeLengths, splitEvents } from './event-lengths.ts'

test('reads what it wrote', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 50 })), (lengths) => {
      expect(decodeLengths(encodeLengths(lengths))).toEqual(lengths)
    }),
  )
})

test('cuts a text where its events were', () => {
  fc.assert(
    fc.property(fc.array(fc.string({ unit: 'binary' })), (events) => {
      const lengths = decodeLengths(encodeLengths(events.map((event) => event.length)))
      expect(splitEvents(events.join(''), lengths)).toEqual(events)
    }),
  )
})

test('is short for a reply of equal pieces', () => {
  expect(encodeLengths(new Array(1_000).fill(4))).toBe('4x1000')
})

test('refuses lengths that are not those of the text', () => {
  expect(() => splitEvents('abc', [1, 1])).toThrow(/3 units/)
})

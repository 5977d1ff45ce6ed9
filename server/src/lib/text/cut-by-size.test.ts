import fc from 'fast-check'
import { expect, test } from 'vitest'
import { cutBySize } from './cut-by-size.ts'

test('no part is larger than it may be, but for an item that is larger by itself', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(30)), fc.integer({ min: 1, max: 40 }), (sizes, most) => {
      const parts = cutBySize(sizes, most, (size) => size)
      expect(parts.flat()).toEqual(sizes)
      const sumOf = (part: number[]) => part.reduce((sum, size) => sum + size, 0)
      for (const part of parts) expect(part.length === 1 || sumOf(part) <= most).toBe(true)
      // The next one would not have fitted: no part is shorter than it has to be.
      for (const [i, part] of parts.slice(1).entries())
        expect(sumOf(parts[i] ?? []) + (part[0] ?? 0)).toBeGreaterThan(most)
    }),
  )
})

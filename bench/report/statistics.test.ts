import fc from 'fast-check'
import { expect, test } from 'vitest'
import { numberText } from './numbers.ts'
import { median, percentile, spreadOf } from './statistics.ts'

const values = fc.array(fc.double({ noNaN: true, min: -1e6, max: 1e6 }), { minLength: 1, maxLength: 200 })

test('a percentile is the smallest value that has the share below or at it', () => {
  fc.assert(
    fc.property(values, fc.double({ min: 0.01, max: 1, noNaN: true }), (all, p) => {
      const found = percentile(all, p)
      const share = (test: (value: number) => boolean) => all.filter(test).length / all.length
      expect(all).toContain(found)
      expect(share((value) => value <= found)).toBeGreaterThanOrEqual(p - 1e-9)
      expect(share((value) => value < found)).toBeLessThan(p)
    }),
  )
  expect(percentile([5, 1, 4, 2, 3], 0.5)).toBe(3)
  expect(percentile([1, 2, 3, 4], 0.99)).toBe(4)
  expect(percentile([], 0.5)).toBeNaN()
})

test('as many values lie above a median as below it', () => {
  fc.assert(
    fc.property(values, (all) => {
      const middle = median(all)
      const above = all.filter((value) => value > middle).length
      const below = all.filter((value) => value < middle).length
      expect(Math.max(above, below)).toBeLessThanOrEqual(all.length / 2)
    }),
  )
  expect(median([4, 1, 3, 2])).toBe(2.5)
  expect(median([])).toBeNaN()
})

test('a spread leaves out what was not measured', () => {
  expect(spreadOf([3, null, 1, undefined, Number.NaN, 2])).toEqual({ median: 2, min: 1, max: 3, n: 3 })
  expect(spreadOf([null])).toBeNull()
})

test.each([
  [27_912, '27,900'],
  [1_234_567, '1,230,000'],
  [966.4, '966'],
  [100, '100'],
  [99.96, '100'],
  [28.62, '28.6'],
  [4.6, '4.6'],
  [1, '1'],
  [0.351, '0.35'],
  [0.0512, '0.051'],
  [0, '0'],
  [-0.02, '-0.02'],
  [Number.NaN, '-'],
])('%d is written as %s', (value, text) => {
  expect(numberText(value)).toBe(text)
})

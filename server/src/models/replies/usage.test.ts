import { expect, test } from 'vitest'
import { MOST_TOKENS_OF_A_CALL, toUsage } from './usage.ts'

const ODD: unknown[] = [
  ...[-1, -0.5, 0.5, 1.000_000_1, 1e-9, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY],
  ...[MOST_TOKENS_OF_A_CALL + 1, 2 ** 31, 2 ** 32, 2 ** 53 - 1, 2 ** 53, 2 ** 63, 1e308, 10n],
  ...['12', '', '-1', '1e3', true, false, null, undefined, [], [12], {}, { total: 12 }],
]

test.each(ODD.map((value) => [value]))('%s is no count of tokens', (value) => {
  expect(toUsage(value, 1)).toBeNull()
  expect(toUsage(1, value)).toBeNull()
})

test('a count is a count', () => {
  expect(toUsage(0, 0)).toEqual({ promptTokens: 0, completionTokens: 0 })
  expect(toUsage(-0, -0)).toEqual({ promptTokens: 0, completionTokens: 0 })
  expect(toUsage(7, MOST_TOKENS_OF_A_CALL)).toEqual({ promptTokens: 7, completionTokens: MOST_TOKENS_OF_A_CALL })
})

import { expect, test } from 'vitest'
import { jsonDepth } from './json.ts'

test.each([
  [1, 0],
  [null, 0],
  [{}, 1],
  [[], 1],
  [{ a: { b: [1] } }, 3],
])('%j has depth %i', (value, depth) => {
  expect(jsonDepth(value)).toBe(depth)
})

test('measures what would overflow a stack', () => {
  const deep: unknown = JSON.parse(`${'['.repeat(100_000)}${']'.repeat(100_000)}`)
  expect(jsonDepth(deep, 64)).toBe(65)
})

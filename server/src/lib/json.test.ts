import fc from 'fast-check'
import { expect, test } from 'vitest'
import { jsonDepth, jsonDepthOfText } from './json.ts'

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

test('the depth of a text is that of its value', () => {
  const texts = ['{}', '7', '"]}"', '{"a\\"]":[{"b":"[[\\\\"},[]]}']
  for (const text of texts) expect(jsonDepthOfText(Buffer.from(text)), text).toBe(jsonDepth(JSON.parse(text)))
  fc.assert(
    fc.property(fc.jsonValue(), (value) => jsonDepthOfText(Buffer.from(JSON.stringify(value))) === jsonDepth(value)),
  )
})

import { expect } from 'vitest'

type Item = { choice: { message: { content: string } } }

/** A JSON array as it grew: each write ends with a whole item, and all but the first begin with a comma. */
export function expectArrayWrites(writes: readonly string[], tokens: readonly string[]): void {
  expect(writes).toHaveLength(tokens.length + 1)
  expect(writes[0]).toMatch(/^\[\{.+\}$/)
  for (const write of writes.slice(1, -1)) expect(write).toMatch(/^,\{.+\}$/)
  expect(writes.at(-1)).toBe(']')
  for (let n = 1; n < writes.length; n++) expect(JSON.parse(`${writes.slice(0, n).join('')}]`)).toHaveLength(n)
  const items = JSON.parse(writes.join('')) as Item[]
  expect(items.map(({ choice }) => choice.message.content)).toEqual(tokens)
}

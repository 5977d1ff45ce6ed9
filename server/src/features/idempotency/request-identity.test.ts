import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Act, canonicalJson, claimIdOf, hash, operationOf, readKey } from './request-identity.ts'

test('JSON in one order, however its members came', () => {
  expect(canonicalJson({ b: [{ d: 1, c: null }], a: 'x', 10: true, 9: false })).toBe(
    canonicalJson({ 9: false, a: 'x', 10: true, b: [{ c: null, d: 1 }] }),
  )
  expect(canonicalJson([1, 2])).not.toBe(canonicalJson([2, 1]))
  expect(canonicalJson({ a: 1 })).not.toBe(canonicalJson({ a: '1' }))
  expect(canonicalJson({ a: null })).not.toBe(canonicalJson({}))
})

test('canonical JSON says exactly what the value says', () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      expect(JSON.parse(canonicalJson(value))).toEqual(JSON.parse(JSON.stringify(value)))
      expect(canonicalJson(reversed(value))).toBe(canonicalJson(value))
    }),
  )
})

function reversed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(reversed)
  if (typeof value !== 'object' || value === null) return value
  const members = Object.entries(value).map(([name, item]) => [name, reversed(item)] as const)
  return Object.fromEntries(members.reverse())
}

const ID = '0190a000-0000-7000-8000-00000000000a'
const act = (fields: Partial<Act> = {}): Act => ({
  method: 'PATCH',
  route: '/personas/:personaId',
  operation: undefined,
  parameters: { personaId: ID },
  ...fields,
})

test('an operation is method, route and what stands in the path', () => {
  const all = [
    operationOf(act()),
    operationOf(act({ method: 'POST' })),
    operationOf(act({ route: '/personas' })),
    operationOf(act({ parameters: { personaId: ID.replace('a', 'b') } })),
  ]
  expect(new Set(all).size).toBe(4)
})

test('ways to say the same are one operation', () => {
  expect(operationOf(act({ method: 'PUT' }))).toBe(operationOf(act()))
  expect(operationOf(act({ parameters: { personaId: ID.toUpperCase() } }))).toBe(operationOf(act()))
  const send = { operation: 'send', parameters: { conversationId: ID } }
  expect(operationOf(act({ ...send, route: '/conversations/:conversationId/chat', method: 'POST' }))).toBe(
    operationOf(act({ ...send, route: '/conversations/:conversationId/continue' })),
  )
})

test('a key and an operation cannot run into each other', () => {
  expect(claimIdOf('a b', 'c')).not.toBe(claimIdOf('a', 'b c'))
  expect(hash('x')).toMatch(/^[\w-]{43}$/)
})

test('keys are 1 to 255 printable ASCII characters', () => {
  for (const key of ['a', 'a b"~', 'x'.repeat(255)]) expect(readKey(key)).toBe(key)
  for (const key of ['', 'x'.repeat(256), 'é', 'a\tb', ['a', 'b']]) expect(() => readKey(key)).toThrow(/1 to 255/)
})

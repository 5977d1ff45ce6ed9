import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { JsonObject, JsonValue } from '../../lib/json.ts'
import { pickOutput } from './pick-output.ts'

const named = (properties: JsonObject) => ({ type: 'object', properties })

test('what a schema names is taken, in objects and in lists', () => {
  const schema = named({ id: {}, lines: { type: 'array', items: named({ sku: { type: 'string' } }) }, none: {} })
  const value = { id: 7, token: 't', lines: [{ sku: 'a', price: 1 }, 'loose'], none: null, rest: [1] }
  expect(pickOutput(schema, value)).toEqual({ id: 7, lines: [{ sku: 'a' }, 'loose'], none: null })
})

test('what it does not name is left out, whatever else it says', () => {
  const value = { a: { b: 1 }, list: [{ c: 1 }] }
  expect(pickOutput({ type: 'object' }, value)).toEqual({})
  expect(pickOutput({ ...named({ a: {} }), additionalProperties: true }, value)).toEqual({ a: {} })
  expect(pickOutput(named({ list: { type: 'array' } }), value)).toEqual({ list: [] })
  expect(pickOutput(named({ toString: {}, hasOwnProperty: {} }), value)).toEqual({})
})

test('nothing of a member without a name is in it, whatever the answer', () => {
  const schema = named({ shown: named({ deep: {} }) })
  const clean = fc.jsonValue().map((value) => JSON.parse(JSON.stringify(value)) as JsonValue)
  fc.assert(
    fc.property(clean, clean, (shown, hidden) => {
      const picked = pickOutput(schema, { shown, hidden })
      expect(picked).toEqual({ shown: pickOutput(named({ deep: {} }), shown) })
    }),
  )
})

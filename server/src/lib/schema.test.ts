import { Type as TypeBox } from 'typebox'
import { expect, test } from 'vitest'
import { Type } from './schema.ts'

/** One schema that uses every builder, with and without options. */
function schemaBy(type: typeof Type) {
  const name = type.String({ minLength: 1, pattern: '\\S' })
  return type.Object(
    {
      name,
      nickname: type.Optional(name),
      age: type.Integer({ minimum: 0, description: 'In years.' }),
      weight: type.Optional(type.Number()),
      isTall: type.Boolean(),
      nothing: type.Null({ description: 'Done.' }),
      anything: type.Unknown(),
      kind: type.Enum(['a', 'b'], { description: 'One of two.' }),
      list: type.Optional(type.Array(type.Object({}), { maxItems: 2 })),
      table: type.Record(type.String(), type.Object({ only: type.Optional(type.String()) })),
      either: type.Union([type.Literal('text'), type.Literal(1), type.Literal(true, { title: 'Yes' })]),
      raw: type.Optional(type.Unsafe<string | null>({ type: ['string', 'null'], maxLength: 3 })),
    },
    { title: 'Everything' },
  )
}

test('the builders say in JSON what those of TypeBox say, in the same order', () => {
  expect(JSON.stringify(schemaBy(Type))).toBe(JSON.stringify(schemaBy(TypeBox)))
})

test('what is optional stays so when it is used twice, and not when it is copied', () => {
  const both = (type: typeof Type) => {
    const text = type.Optional(type.String())
    return type.Object({ a: text, b: text, c: { ...text, description: 'A copy.' }, d: type.Array(text) })
  }
  expect(JSON.stringify(both(Type))).toBe(JSON.stringify(both(TypeBox)))
})

test('a schema that is given is not changed', () => {
  const given = Object.freeze(Type.String())
  Type.Optional(given)
  expect(Type.Object({ given }).required).toEqual(['given'])
})

import { Ajv2020 } from 'ajv/dist/2020.js'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { JsonObject, JsonValue } from '../lib/json.ts'
import { MOST_OF_SCHEMA, readOutsideSchema } from './outside-schema.ts'
import { SchemaRefused } from './schema-refused.ts'
import { MOST_IN_SCHEMA } from './schema-walk.ts'

const plain = (schema: JsonValue) => JSON.parse(readOutsideSchema(schema)) as JsonValue
const accepts = (schema: JsonValue) =>
  new Ajv2020({ strict: false, logger: false }).compile(plain(schema) as JsonObject) as (value: unknown) => boolean

function refusalOf(schema: JsonValue): { path: string; issue: string } {
  try {
    readOutsideSchema(schema)
  } catch (error) {
    if (error instanceof SchemaRefused) return { path: error.path, issue: error.issue }
    throw error
  }
  throw new Error(`taken: ${JSON.stringify(schema).slice(0, 200)}`)
}

describe('is left out of what is compiled', () => {
  test('what says nothing about what is valid', () => {
    const schema = {
      $schema: 'https://json-schema.org/draft/2020-12/schema',
      $id: 'https://example.com/order.json',
      title: 'Order',
      'x-order': [1],
      example: { $async: true },
      properties: {
        a: { type: 'string', format: 'date', description: 'd', default: 'x', discriminator: {}, id: '#a' },
      },
    }
    expect(plain(schema)).toEqual({ properties: { a: { type: 'string' } } })
  })

  test('but not a property that is called like a keyword', () => {
    const properties = { $async: { type: 'string' }, $id: {}, $ref: { type: 'number' }, __proto__x: {} }
    expect(plain({ properties })).toEqual({ properties })
    const named = JSON.parse('{"properties":{"__proto__":{"type":"string","pattern":"a"}}}')
    expect(readOutsideSchema(named)).toBe(JSON.stringify(named))
  })
})

describe('is written as 2020-12 has it', () => {
  test.each<[string, JsonObject, JsonObject]>([
    [
      'a tuple',
      { items: [{ type: 'string' }], additionalItems: false },
      { prefixItems: [{ type: 'string' }], items: false },
    ],
    ['additionalItems without a tuple', { items: {}, additionalItems: false }, { items: {} }],
    [
      'a bound of draft-04',
      { minimum: 1, exclusiveMinimum: true, maximum: 2, exclusiveMaximum: false },
      { exclusiveMinimum: 1, maximum: 2 },
    ],
    ['nullable', { type: 'string', nullable: true }, { type: ['string', 'null'] }],
    [
      'dependencies',
      { dependencies: { a: ['b'], c: { type: 'object' } } },
      { dependencies: { a: ['b'], c: { type: 'object' } } },
    ],
  ])('%s', (_name, schema, expected) => {
    expect(plain(schema)).toEqual(expected)
  })
})

describe('a reference', () => {
  test('leads to definitions, by anchors, to the whole, and to where no keyword leads', () => {
    const isTree = accepts({
      type: 'object',
      properties: { name: { $ref: '#/definitions/a~1b' }, next: { $ref: '#' }, same: { $ref: '#/properties/name' } },
      required: ['name'],
      definitions: { 'a/b': { $anchor: 'text', type: 'string' } },
    })
    expect(isTree({ name: 'a', next: { name: 'b', same: 'c' } })).toBe(true)
    expect(isTree({ name: 'a', next: { name: 'b', same: 1 } })).toBe(false)
    expect(isTree({ name: 'a', next: {} })).toBe(false)

    const inside = {
      $ref: '#/components/schemas/A',
      components: { schemas: { A: { items: { $ref: '#/components/schemas/B' } }, B: { type: 'null' } } },
    }
    expect(accepts(inside)([null])).toBe(true)
    expect(accepts(inside)([1])).toBe(false)
  })

  test('may be dynamic, in which case it is one like any other', () => {
    const isTree = accepts({ $dynamicAnchor: 'node', properties: { next: { $dynamicRef: '#node' } }, required: ['id'] })
    expect(isTree({ id: 1, next: { id: 2 } })).toBe(true)
    expect(isTree({ id: 1, next: {} })).toBe(false)
    expect(accepts({ $recursiveAnchor: true, items: { $recursiveRef: '#' }, type: 'array' })([[], [1]])).toBe(false)
  })

  test('may mean a boolean', () => {
    expect(accepts({ $ref: '#/$defs/no', $defs: { no: false } })(1)).toBe(false)
    expect(accepts({ $ref: '#/$defs/yes', $defs: { yes: true } })(1)).toBe(true)
  })

  test.each<[string, JsonObject]>([
    ['elsewhere', { $ref: 'https://example.com/a.json' }],
    ['to a file', { $ref: 'other.json#/a' }],
    ['to nothing', { $ref: '#/$defs/none' }],
    ['to a list', { $ref: '#/required', required: ['a'] }],
    ['to what all objects have', { $ref: '#/constructor' }],
    ['that cannot be decoded', { $ref: '#/%E0%A4%A' }],
    ['elsewhere, dynamically', { $dynamicRef: 'https://example.com/a#b' }],
  ])('is refused %s', (_name, schema) => {
    expect(refusalOf({ properties: { a: schema } }).path).toMatch(/^properties\.a\.\$(ref|dynamicRef)$/)
  })

  test('cannot smuggle in what was taken for a value', () => {
    const smuggled = { properties: { a: { $ref: '#/properties/b/enum/0' }, b: { enum: [{ $async: true }] } } }
    expect(refusalOf(smuggled)).toEqual({ path: 'properties.a.$ref.$async', issue: 'is not possible' })
  })
})

describe('is refused, with its place', () => {
  const many = (count: number, one: JsonValue) =>
    Object.fromEntries(Array.from({ length: count }, (_, i) => [`p${i}`, one]))
  const deep = (levels: number) => JSON.parse(`${'{"not":'.repeat(levels)}{}${'}'.repeat(levels)}`) as JsonObject

  test.each<[string, JsonValue, string]>([
    ['$async', { $async: true }, '$async'],
    ['$async inside', { anyOf: [{ properties: { a: { $async: true } } }] }, 'anyOf.0.properties.a.$async'],
    ['$async that is false', { $async: false }, '$async'],
    ['an $id inside', { properties: { a: { $id: 'https://example.com/' } } }, 'properties.a.$id'],
    ['a long pattern', { pattern: 'a'.repeat(MOST_IN_SCHEMA.pattern + 1) }, 'pattern'],
    [
      'a long pattern of names',
      { patternProperties: { ['a'.repeat(MOST_IN_SCHEMA.pattern + 1)]: {} } },
      'patternProperties',
    ],
    ['12,000 properties', { properties: many(12_000, { type: 'string' }) }, ''],
    ['many properties', { properties: many(3_000, true) }, 'properties.p2000'],
    ['many values', { enum: Array.from({ length: MOST_IN_SCHEMA.members + 1 }, () => 1) }, 'enum'],
    ['many dependencies', { dependencies: many(2_000, ['a', 'b']) }, 'dependencies.p1666'],
    ['too many levels', deep(MOST_OF_SCHEMA.depth), ''],
    ['a hundred thousand levels', deep(100_000), ''],
    ['a large one', { const: 'a'.repeat(MOST_OF_SCHEMA.size) }, ''],
    ['a list', [], ''],
    ['a list of schemas that is none', { allOf: {} }, 'allOf'],
    ['a schema that is none', { properties: { a: 'string' } }, 'properties.a'],
    ['a pattern that is none', { pattern: 1 }, 'pattern'],
  ])('%s', (_name, schema, path) => {
    const refusal = refusalOf(schema)
    // Which of many is one too many depends on the order in which they are looked at.
    if (!/p\d+$/.test(path)) expect(refusal.path).toBe(path)
    else expect(refusal.path).toMatch(/^(properties|dependencies)\.p\d+$/)
    expect(refusal.issue).toMatch(/\w/)
  })
})

describe('whatever comes', () => {
  const keyword = fc.constantFrom(
    ...'properties items allOf not if then $ref $dynamicRef $defs $id $async $anchor pattern enum const required'.split(
      ' ',
    ),
    ...'dependencies patternProperties additionalItems nullable type exclusiveMinimum minimum x-a __proto__ toJSON'.split(
      ' ',
    ),
  )
  const { schema } = fc.letrec<{ schema: JsonValue }>((tie) => ({
    schema: fc.oneof(
      { depthSize: 'medium', withCrossShrink: true },
      fc.constantFrom<JsonValue>('#', '#/properties/a', '#/not', '#x', 'x', true, false, null, 1),
      fc.array(tie('schema'), { maxLength: 4 }),
      fc
        .array(fc.tuple(fc.oneof(keyword, fc.constantFrom('a', '0')), tie('schema')), { maxLength: 6 })
        .map((entries) => JSON.parse(JSON.stringify(Object.fromEntries(entries))) as JsonObject),
    ),
  }))

  test('nothing is thrown but a refusal, and what comes out has known keywords and its own references only', () => {
    let taken = 0
    fc.assert(
      fc.property(fc.oneof(schema, fc.jsonValue() as fc.Arbitrary<JsonValue>), (value) => {
        let text: string
        try {
          text = readOutsideSchema(value)
        } catch (error) {
          expect(error).toBeInstanceOf(SchemaRefused)
          return
        }
        taken += 1
        const references = [...text.matchAll(/"\$ref":"([^"]*)"/g)].map(([, reference]) => reference)
        for (const reference of references) {
          if (reference?.startsWith('#/$defs/')) {
            expect(JSON.parse(text).$defs).toHaveProperty([reference.slice('#/$defs/'.length)])
          }
        }
      }),
      { numRuns: 2_000 },
    )
    expect(taken).toBeGreaterThan(100)
  })

  test('the work grows with the size and not faster', () => {
    // What a schema is made of is looked at through proxies that count.
    fc.assert(
      fc.property(schema, (value) => {
        const { watched, looks } = watch(value)
        try {
          readOutsideSchema(watched)
        } catch (error) {
          expect(error).toBeInstanceOf(SchemaRefused)
        }
        expect(looks()).toBeLessThanOrEqual(40 * JSON.stringify(value).length + 40)
      }),
      { numRuns: 1_000 },
    )
  })

  test('also for many references to the same and chains of them', () => {
    const chain = (length: number): JsonObject => ({
      allOf: Array.from({ length }, () => ({ $ref: '#/$defs/d0' })),
      $defs: Object.fromEntries(Array.from({ length }, (_, i) => [`d${i}`, { $ref: `#/$defs/d${(i + 1) % length}` }])),
    })
    const costOf = (length: number) => {
      const { watched, looks } = watch(chain(length))
      readOutsideSchema(watched)
      return looks()
    }
    expect(costOf(800) / costOf(100)).toBeLessThan(9)
  })
})

/** The same value, and how often something of it was looked at. */
function watch(value: JsonValue): { watched: JsonValue; looks: () => number } {
  let count = 0
  const known = new WeakMap<object, object>()
  function wrap(inner: unknown): unknown {
    if (typeof inner !== 'object' || inner === null) return inner
    const before = known.get(inner)
    if (before) return before
    const proxy = new Proxy(inner, {
      get(target, key, receiver) {
        count += 1
        return wrap(Reflect.get(target, key, receiver))
      },
      ownKeys(target) {
        count += 1
        return Reflect.ownKeys(target)
      },
      getOwnPropertyDescriptor(target, key) {
        count += 1
        return Reflect.getOwnPropertyDescriptor(target, key)
      },
    })
    known.set(inner, proxy)
    return proxy
  }
  return { watched: wrap(value) as JsonValue, looks: () => count }
}

describe('each dialect says the same in its own words', () => {
  const city = { type: 'string', minLength: 2 }
  test.each<[string, JsonObject]>([
    [
      '2020-12',
      {
        $schema: 'https://json-schema.org/draft/2020-12/schema',
        $defs: { city: { $anchor: 'city', ...city } },
        properties: {
          at: { prefixItems: [{ $ref: '#city' }, { type: 'integer', exclusiveMinimum: 0 }], items: false },
        },
      },
    ],
    [
      '2019-09',
      {
        $schema: 'https://json-schema.org/draft/2019-09/schema',
        $id: 'https://example.com/order',
        $defs: { city },
        properties: {
          at: {
            items: [{ $ref: 'https://example.com/order#/$defs/city' }, { type: 'integer', exclusiveMinimum: 0 }],
            additionalItems: false,
          },
        },
      },
    ],
    [
      'draft-07',
      {
        $schema: 'http://json-schema.org/draft-07/schema#',
        $id: 'https://example.com/order#',
        definitions: { city: { $id: '#city', ...city } },
        properties: {
          at: { items: [{ $ref: '#city' }, { type: 'integer', exclusiveMinimum: 0 }], additionalItems: false },
        },
      },
    ],
    [
      'draft-04',
      {
        $schema: 'http://json-schema.org/draft-04/schema#',
        id: 'https://example.com/order#',
        definitions: { city: { id: '#city', ...city } },
        properties: {
          at: {
            items: [
              { $ref: 'https://example.com/order#city' },
              { type: 'integer', minimum: 0, exclusiveMinimum: true },
            ],
            additionalItems: false,
          },
        },
      },
    ],
  ])('%s', (_name, schema) => {
    const isFine = accepts({ type: 'object', ...schema, required: ['at'] })
    expect(isFine({ at: ['Oslo', 1] })).toBe(true)
    for (const at of [
      ['O', 1],
      ['Oslo', 0],
      ['Oslo', 1, 2],
      [1, 1],
    ])
      expect([at, isFine({ at })]).toEqual([at, false])
    expect(isFine({})).toBe(false)
  })

  test('and a schema that calls itself by its name may be within itself', () => {
    const tree = {
      $id: 'https://example.com/tree',
      type: 'object',
      properties: { next: { $ref: 'https://example.com/tree' } },
    }
    expect(accepts(tree)({ next: { next: {} } })).toBe(true)
    expect(accepts(tree)({ next: { next: 1 } })).toBe(false)
    expect(refusalOf({ ...tree, properties: { next: { $ref: 'https://example.com/trees' } } }).path).toBe(
      'properties.next.$ref',
    )
  })
})

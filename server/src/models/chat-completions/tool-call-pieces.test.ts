import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { JsonValue } from '../../lib/json.ts'
import { createCallCollector } from './tool-call-pieces.ts'

const NAMES = new Set(['get_weather', 'get_time', 'now'])

/** The calls that come of chunks, each with its list of pieces. */
function callsIn(chunks: readonly JsonValue[]) {
  const calls = createCallCollector(NAMES)
  for (const pieces of chunks) calls.take(pieces)
  return calls
    .all()
    .map(({ name, input, invalidInput }) => (invalidInput === undefined ? [name, input] : [name, { invalidInput }]))
}

const BERN = ['get_weather', { city: 'Bern' }]
const BASEL = ['get_weather', { city: 'Basel' }]
const NOW = ['now', {}]
const named = (more: object, args: JsonValue = '', name: JsonValue = 'get_weather'): JsonValue => [
  { ...more, type: 'function', function: { name, arguments: args } },
]
const rest = (more: object, args: JsonValue): JsonValue => [{ ...more, function: { arguments: args } }]

describe('one call', () => {
  test.each<[string, JsonValue[]]>([
    [
      'as OpenAI sends it',
      [named({ index: 0, id: 'a' }), rest({ index: 0 }, '{"city":'), rest({ index: 0 }, '"Bern"}')],
    ],
    ['whole in one piece', [named({ index: 0, id: 'a' }, '{"city":"Bern"}')]],
    ['without an index', [named({ id: 'a' }), rest({}, '{"city":'), rest({}, '"Bern"}')]],
    ['without an index or an id', [named({}), rest({}, '{"city":'), rest({}, '"Bern"}')]],
    ['with an index as text', [named({ index: '0', id: 'a' }), rest({ index: '0' }, '{"city":"Bern"}')]],
    [
      'with null in its first piece',
      [named({ index: 0, id: 'a' }, null), rest({ index: 0, id: null }, '{"city":"Bern"}')],
    ],
    [
      'whose later names are null or empty',
      [
        named({ index: 0, id: 'a' }),
        named({ index: 0, id: null }, '{"city":', null),
        named({ index: 0, id: '' }, '"Bern"}', ''),
      ],
    ],
    ['whose pieces all have the id', [named({ id: 'a' }), rest({ id: 'a' }, '{"city":'), rest({ id: 'a' }, '"Bern"}')]],
    [
      'whose pieces all have the id and the name',
      [
        named({ index: 0, id: 'a' }, '{"ci'),
        named({ index: 0, id: 'a' }, 'ty":"Be'),
        named({ index: 0, id: 'a' }, 'rn"}'),
      ],
    ],
    [
      'whose pieces each have another id',
      [named({ index: 0, id: 'a' }), rest({ index: 0, id: 'b' }, '{"city":"Bern"}')],
    ],
    [
      'whose pieces each have another id, and the name',
      [named({ index: 0, id: 'a' }), named({ index: 0, id: 'b' }, '{"city":'), named({ index: 0, id: 'c' }, '"Bern"}')],
    ],
    ['whose pieces each have another index', [named({ index: 0, id: 'a' }), rest({ index: 1 }, '{"city":"Bern"}')]],
    [
      'whose index changes under its id',
      [named({ index: 0, id: 'a' }), rest({ index: 1, id: 'a' }, '{"city":"Bern"}')],
    ],
    [
      'with a name in pieces',
      [named({ index: 0, id: 'a' }, '', 'get_'), named({ index: 0 }, '{"city":"Bern"}', 'weather')],
    ],
    [
      'with a name that grows',
      [named({ index: 0 }, '', 'get_'), named({ index: 0 }, '{"city":"Bern"}', 'get_weather')],
    ],
    ['with its arguments as an object', [named({ index: 0, id: 'a' }, { city: 'Bern' })]],
    ['that begins with an empty object', [named({ index: 0, id: 'a' }, {}), rest({ index: 0 }, '{"city":"Bern"}')]],
    [
      'that begins with an empty object as text',
      [named({ index: 0, id: 'a' }, '{}'), rest({ index: 0 }, '{"city":"Bern"}')],
    ],
    ['that is encoded twice', [named({ index: 0, id: 'a' }, JSON.stringify('{"city":"Bern"}'))]],
    ['that is encoded three times', [named({ index: 0, id: 'a' }, JSON.stringify(JSON.stringify('{"city":"Bern"}')))]],
    [
      'that is said whole once more at its end',
      [
        named({ index: 0, id: 'a' }, '{"city":'),
        rest({ index: 0 }, '"Bern"}'),
        named({ index: 0, id: 'a' }, '{"city":"Bern"}'),
      ],
    ],
    ['that is no list', [{ index: 0, id: 'a', function: { name: 'get_weather', arguments: '{"city":"Bern"}' } }]],
    ['that is not wrapped', [[{ id: 'a', name: 'get_weather', arguments: { city: 'Bern' } }]]],
    ['with a number as its id', [named({ id: 7 }), rest({ id: 7 }, '{"city":"Bern"}')]],
  ])('%s', (_name, chunks) => {
    expect(callsIn(chunks)).toEqual([BERN])
  })

  test.each<[string, JsonValue]>([
    ['nothing', ''],
    ['null', null],
    ['null as text', 'null'],
    ['an empty object', {}],
    ['an empty list', '[]'],
    ['an empty text, encoded', '""'],
  ])('whose arguments are %s has none', (_name, args) => {
    expect(callsIn([named({ index: 0, id: 'a' }, args, 'now')])).toEqual([NOW])
  })

  test.each(['{"city":"Be', '{"city":"Bern"}{"city":"Basel"}', '[1]', '7', '"Bern"', 'city=Bern', '{city:"Bern"}'])(
    'whose arguments are %s is not guessed at',
    (args) => {
      expect(callsIn([named({ index: 0, id: 'a' }, args)])).toEqual([['get_weather', { invalidInput: args }]])
    },
  )
})

describe('two calls', () => {
  test.each<[string, JsonValue[], unknown[]]>([
    [
      'whose pieces come in turns',
      [
        named({ index: 0, id: 'a' }),
        named({ index: 1, id: 'b' }),
        rest({ index: 0 }, '{"city":'),
        rest({ index: 1 }, '{"city":"Ba'),
        rest({ index: 0 }, '"Bern"}'),
        rest({ index: 1 }, 'sel"}'),
      ],
      [BERN, BASEL],
    ],
    [
      'whose pieces come in turns and are told apart by their ids',
      [
        named({ index: 0, id: 'a' }),
        named({ index: 0, id: 'b' }),
        rest({ index: 0, id: 'a' }, '{"city":"Bern"}'),
        rest({ index: 0, id: 'b' }, '{"city":"Basel"}'),
      ],
      [BERN, BASEL],
    ],
    [
      'that share an index',
      [named({ index: 0, id: 'a' }, '{"city":"Bern"}'), named({ index: 0, id: 'b' }, '{"city":"Basel"}')],
      [BERN, BASEL],
    ],
    [
      'that share an index and an id',
      [named({ index: 0, id: 'a' }, '{"city":"Bern"}'), named({ index: 0, id: 'a' }, '{"city":"Basel"}')],
      [BERN, BASEL],
    ],
    [
      'that share an id',
      [named({ index: 0, id: 'a' }, '{"city":"Bern"}'), named({ index: 1, id: 'a' }, null, 'now')],
      [BERN, NOW],
    ],
    [
      'without an index, in pieces',
      [named({ id: 'a' }), rest({}, '{"city":"Bern"}'), named({ id: 'b' }), rest({}, '{"city":"Basel"}')],
      [BERN, BASEL],
    ],
    [
      'without an index or an id, together',
      [[{ function: { name: 'now' } }, { function: { name: 'get_time' } }]],
      [NOW, ['get_time', {}]],
    ],
    [
      'without an index or an id, one by one',
      [named({}, '', 'now'), named({}, '', 'get_time')],
      [NOW, ['get_time', {}]],
    ],
    [
      'that share an index and have no ids',
      [named({ index: 0 }, {}, 'now'), named({ index: 0 }, {}, 'get_time')],
      [NOW, ['get_time', {}]],
    ],
  ])('%s', (_name, chunks, calls) => {
    expect(callsIn(chunks)).toEqual(calls)
  })
})

test('wherever the arguments are cut, and whatever each piece repeats, it is the same call', () => {
  const input = fc.dictionary(fc.string({ maxLength: 4 }), fc.jsonValue({ maxDepth: 2 }) as fc.Arbitrary<JsonValue>, {
    minKeys: 1,
    maxKeys: 3,
    noNullPrototype: true,
  })
  fc.assert(
    fc.property(
      input,
      fc.array(fc.nat(), { maxLength: 6 }),
      fc.boolean(),
      fc.boolean(),
      (value, cuts, hasIndex, hasId) => {
        const text = JSON.stringify(value)
        const ends = [...cuts.map((at) => at % text.length).sort((a, b) => a - b), text.length]
        const more = { ...(hasIndex && { index: 0 }), ...(hasId && { id: 'a' }) }
        const pieces = ends.map((end, i) => rest(more, text.slice(ends[i - 1] ?? 0, end)))
        expect(callsIn([named({ ...more, id: 'a' }), ...pieces])).toEqual([['get_weather', JSON.parse(text)]])
      },
    ),
    { numRuns: 300 },
  )
})

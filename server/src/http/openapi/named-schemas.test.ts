import { expect, test } from 'vitest'
import { hoistNamedSchemas } from './named-schemas.ts'

const USAGE = { title: 'Usage', type: 'object', properties: { tokens: { type: 'integer' } } }
const RUN = {
  title: 'Run',
  type: 'object',
  properties: { usage: USAGE, other: { type: ['object', 'null'], title: 'Usage' } },
}

test('what has a name is said once and referred to', () => {
  const document = hoistNamedSchemas({ paths: { '/a': [RUN, USAGE], '/b': { schema: RUN } }, components: { x: 1 } })
  expect(document).toEqual({
    paths: {
      '/a': [{ $ref: '#/components/schemas/Run' }, { $ref: '#/components/schemas/Usage' }],
      '/b': { schema: { $ref: '#/components/schemas/Run' } },
    },
    components: {
      x: 1,
      schemas: {
        Run: {
          type: 'object',
          properties: { usage: { $ref: '#/components/schemas/Usage' }, other: RUN.properties.other },
        },
        Usage: { type: 'object', properties: USAGE.properties },
      },
    },
  })
})

test('two things cannot have the same name', () => {
  expect(() => hoistNamedSchemas({ paths: [USAGE, { ...USAGE, properties: {} }] })).toThrow('Usage')
})

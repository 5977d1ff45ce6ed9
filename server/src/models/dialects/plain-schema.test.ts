import { expect, test } from 'vitest'
import { plainSchema, withMembers } from './plain-schema.ts'

test('references are inlined, also those that lead back to themselves', () => {
  const schema = {
    type: 'object',
    properties: { tree: { $ref: '#/$defs/Tree' } },
    $defs: { Tree: { type: 'object', properties: { child: { $ref: '#/$defs/Tree' } } } },
  }
  const plain = JSON.stringify(plainSchema(schema))
  expect(plain).not.toContain('$ref')
  expect(plain.length).toBeLessThan(2_000)
})

test('what only narrows is dropped', () => {
  const schema = {
    $schema: 'http://json-schema.org/draft-07/schema#',
    type: 'object',
    additionalProperties: false,
    properties: {
      when: { type: ['null', 'string'], format: 'date-time', pattern: '^2', default: 'x', description: 'When' },
      kind: { const: 'a' },
      level: { type: 'integer', enum: [1, 2], exclusiveMinimum: 0 },
      list: { type: 'array' },
    },
    required: ['when', 'gone'],
  }
  expect(plainSchema(schema)).toEqual({
    type: 'object',
    properties: {
      when: { type: 'string', description: 'When' },
      kind: { enum: ['a'] },
      level: { type: 'integer' },
      list: { type: 'array', items: {} },
    },
    required: ['when'],
  })
})

test('alternatives at the top are offered together, and parts are put together', () => {
  const part = (name: string) => ({ type: 'object', properties: { [name]: { type: 'string' } }, required: [name] })
  expect(plainSchema({ oneOf: [part('a'), part('b')] })).toEqual({
    type: 'object',
    properties: { a: { type: 'string' }, b: { type: 'string' } },
  })
  expect(plainSchema({ allOf: [part('a'), part('b')] })).toEqual({
    type: 'object',
    properties: { a: { type: 'string' }, b: { type: 'string' } },
    required: ['a', 'b'],
  })
})

test('an object that names its members stays as it is', () => {
  const schema = { type: 'object', properties: { a: {} } }
  expect(withMembers(schema)).toBe(schema)
  expect(withMembers({ type: 'object' })).toEqual({ type: 'object', properties: {} })
  expect(withMembers({})).toEqual({ type: 'object', properties: {} })
})

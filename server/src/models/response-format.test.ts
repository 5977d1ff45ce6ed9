import { Value } from 'typebox/value'
import { describe, expect, test } from 'vitest'
import { plainResponseFormat, ResponseFormat } from './response-format.ts'

const schema = { type: 'json_schema', json_schema: { name: 'mood', schema: { type: 'object' } } } as const

describe('the form of a reply', () => {
  test.each([['text'], ['json'], [{ type: 'text' }], [{ type: 'json_object' }], [schema]])('%j is one', (format) => {
    expect(Value.Check(ResponseFormat, format)).toBe(true)
  })

  test.each([
    ['xml'],
    [{}],
    [{ type: 'json_schema' }],
    [{ type: 'json_schema', json_schema: { schema: {} } }],
    [{ type: 'json_schema', json_schema: { name: '', schema: {} } }],
    [{ type: 'json_schema', json_schema: { name: 'mood', schema: 'no' } }],
    [7],
  ])('%j is none', (format) => {
    expect(Value.Check(ResponseFormat, format)).toBe(false)
  })

  test('has one spelling for each meaning', () => {
    expect(plainResponseFormat(undefined)).toBeNull()
    expect(plainResponseFormat('text')).toEqual({ type: 'text' })
    expect(plainResponseFormat('json')).toEqual({ type: 'json_object' })
    expect(plainResponseFormat(schema)).toEqual(schema)
  })
})

import { describe, expect, test } from 'vitest'
import { requestFor } from './http-tool.ts'
import { ToolError } from './server-tool.ts'
import type { HttpTool } from './tool-settings.ts'

const tool = (more: Partial<HttpTool> = {}): HttpTool => ({
  type: 'http',
  name: 't',
  description: 'd',
  inputSchema: { type: 'object' },
  method: 'GET',
  url: 'https://example.com/a/{id}?x=1',
  ...more,
})

describe('a request', () => {
  test('has the fields in their places and the rest in the query', () => {
    const { url, body } = requestFor(tool(), { id: 'ü/?#', n: 1, o: { a: 1 }, list: [1, 'b'], none: null }, {})
    expect(url).toBe('https://example.com/a/%C3%BC%2F%3F%23?x=1&n=1&o=%7B%22a%22%3A1%7D&list=1&list=b')
    expect(body).toBeNull()
  })

  test('has the rest in a JSON body where there is one', () => {
    const request = requestFor(tool({ method: 'PUT' }), { id: 7, deep: { a: [null] } }, { Accept: 'text/plain' })
    expect(request).toMatchObject({ method: 'PUT', url: 'https://example.com/a/7?x=1', body: '{"deep":{"a":[null]}}' })
    expect(request.headers).toMatchObject({ accept: 'text/plain', 'content-type': 'application/json' })
  })

  test.each(['', '.', '..'])('cannot be led out of its path by "%s"', (id) => {
    expect(() => requestFor(tool(), { id }, {})).toThrow(ToolError)
  })

  test.each([
    '../../admin',
    '..\\..\\admin',
    '%2e%2e/admin',
    '//evil.example',
    'a@evil.example',
    '?admin',
    '#x',
    '..;',
  ])('stays where it is with %s', (id) => {
    const { url } = requestFor(tool({ url: 'https://example.com/a/{id}/end' }), { id }, {})
    expect(new URL(url)).toMatchObject({ host: 'example.com', search: '', hash: '' })
    expect(new URL(url).pathname).toMatch(/^\/a\/[^/]+\/end$/)
  })
})

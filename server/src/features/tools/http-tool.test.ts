import { describe, expect, test } from 'vitest'
import { createFillHeaders, hideSecrets, requestFor } from './http-tool.ts'
import { ToolError } from './server-tool.ts'
import type { HttpTool } from './tool-settings.ts'

const tool = (more: Partial<HttpTool> = {}): HttpTool => ({
  ...{ type: 'http', name: 't', description: 'd', inputSchema: { type: 'object' }, method: 'GET' },
  ...{ url: 'https://example.com/a/{id}?x=1', ...more },
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

test('secrets are filled in once, and are not read from what fills them', async () => {
  const fill = createFillHeaders(async (name) => (name === 'A' ? '{{secret:B}}' : null))
  expect(await fill({ x: 'a {{ secret:A }} b', y: 'plain' })).toEqual({
    headers: { x: 'a {{secret:B}} b', y: 'plain' },
    secrets: ['{{secret:B}}'],
  })
  await expect(fill({ x: '{{secret:B}}' })).rejects.toThrow('the secret B is not set.')
})

test('what comes back is free of secrets', () => {
  expect(hideSecrets('a key, the key and a $& key', ['key'])).toBe('a [secret], the [secret] and a $& [secret]')
})

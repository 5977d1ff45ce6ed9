import { describe, expect, test } from 'vitest'
import { errorFromNetwork, errorFromResponse, readRetryAfter, whatItSaid } from './provider-errors.ts'
import { createRedactor } from './redact.ts'

const source = { aiSystem: 'openai', label: 'OpenAI', redact: createRedactor(['the-key']) } as const
const errorFor = (status: number, body = '', headers: Record<string, string> = {}) =>
  errorFromResponse(source, { status, headers, body })

describe('the error for a status', () => {
  test.each([
    [302, 'failed', false],
    [400, 'refused', false],
    [401, 'failed', false],
    [402, 'failed', false],
    [403, 'failed', false],
    [404, 'refused', false],
    [408, 'timeout', true],
    [409, 'failed', true],
    [413, 'refused', false],
    [422, 'refused', false],
    [429, 'rate_limited', true],
    [500, 'failed', true],
    [502, 'failed', true],
    [503, 'failed', true],
    [529, 'rate_limited', true],
  ])('%i is %s, to be tried again: %s', (status, kind, retryable) => {
    expect(errorFor(status, '{"error":{"message":"no"}}')).toMatchObject({
      kind,
      retryable,
      status,
      aiSystem: 'openai',
    })
  })

  test('an account without money is not helped by waiting', () => {
    const body = '{"error":{"message":"You exceeded your current quota","code":"insufficient_quota"}}'
    expect(errorFor(429, body)).toMatchObject({ kind: 'rate_limited', retryable: false })
  })

  test('a wrong key is said to be one', () => {
    expect(errorFor(401, '{"error":"no"}').message).toBe('OpenAI refused the key (401): no')
    expect(errorFor(400, '[{"error":{"message":"API key not valid. Please pass a valid API key."}}]')).toMatchObject({
      kind: 'failed',
      retryable: false,
      message: 'OpenAI refused the key (400): API key not valid. Please pass a valid API key.',
    })
  })

  test('an empty answer is only a status', () => {
    expect(errorFor(500).message).toBe('OpenAI answered 500')
  })

  test('a long one is cut, after the secrets are gone', () => {
    const { message } = errorFor(500, `${'x'.repeat(297)} the-key ${'y'.repeat(500)}`)
    expect(message.length).toBeLessThan(340)
    expect(message).toMatch(/…$/)
    expect(message).not.toMatch(/the/)
  })

  test('half a character is not left at the cut', () => {
    expect(errorFor(500, '🐈'.repeat(400)).message.isWellFormed()).toBe(true)
    expect(errorFor(500, `x${'🐈'.repeat(400)}`).message.isWellFormed()).toBe(true)
  })
})

test.each([
  ['{"error":{"message":"a","type":"t"}}', 'a'],
  ['[{"error":{"message":"a"}}]', 'a'],
  ['{"error":"a"}', 'a'],
  ['{"message":"a"}', 'a'],
  ['{"detail":"a"}', 'a'],
  ['{"detail":[{"loc":["body"],"msg":"a","type":"missing"}]}', 'a'],
  ['plain words', 'plain words'],
])('%s says %s', (body, said) => {
  expect(whatItSaid(body)).toBe(said)
})

test('a page of HTML says its text', () => {
  const page = '<html><head><style>a{}</style></head><body><h1>502 Bad Gateway</h1><script>x()</script></body></html>'
  expect(errorFor(502, page).message).toBe('OpenAI answered 502: 502 Bad Gateway')
})

describe('Retry-After', () => {
  const now = Date.parse('2026-11-23T10:00:00Z')
  test.each([
    [{ 'retry-after': '3' }, 3_000],
    [{ 'retry-after': '0.5' }, 500],
    [{ 'retry-after': 'Mon, 23 Nov 2026 10:00:07 GMT' }, 7_000],
    [{ 'retry-after': 'Mon, 23 Nov 2026 09:00:00 GMT' }, 0],
    [{ 'retry-after-ms': '1200', 'retry-after': '2' }, 1_200],
    [{ 'retry-after': 'soon' }, null],
    [{ 'retry-after': '-1' }, null],
    [{ 'retry-after': '' }, null],
    [{}, null],
  ])('%j is %s ms', (headers, expected) => {
    expect(readRetryAfter(headers, now)).toBe(expected)
  })
})

test('a network error tells the innermost reason', () => {
  const refused = Object.assign(new Error('connect ECONNREFUSED 127.0.0.1:1'), { code: 'ECONNREFUSED' })
  const error = errorFromNetwork(source, new TypeError('fetch failed', { cause: refused }), false)
  expect(error).toMatchObject({ kind: 'failed', retryable: true })
  expect(error.message).toBe('OpenAI did not answer: the connection was refused')
})

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createRedactor } from './redact.ts'

const keyCharacters = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_+/=.'
const secret = fc.string({ unit: fc.constantFrom(...keyCharacters), minLength: 4, maxLength: 40 })

test('no configured secret survives, wherever and however often it stands', () => {
  fc.assert(
    fc.property(
      fc.array(secret, { minLength: 1, maxLength: 4 }),
      fc.array(fc.string(), { minLength: 1, maxLength: 6 }),
      (secrets, texts) => {
        const text = texts.map((part, index) => `${part}${secrets[index % secrets.length]}`).join('')
        const clean = createRedactor(secrets)(text)
        for (const one of secrets) expect(clean).not.toContain(one)
      },
    ),
  )
})

test('nor does it as a part of a URL', () => {
  fc.assert(
    fc.property(secret, (one) => {
      const clean = createRedactor([one])(`GET /v1?x=${encodeURIComponent(one)} failed`)
      expect(clean).not.toContain(encodeURIComponent(one))
    }),
  )
})

test('a text without anything secret stays as it is', () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom(...'aeiou ,.'), maxLength: 200 }), (text) => {
      expect(createRedactor(['zzzz-secret'])(text)).toBe(text)
    }),
  )
})

describe('what looks like a key is taken out although nobody configured it', () => {
  const redact = createRedactor([])
  test.each([
    ['Incorrect API key provided: sk-proj-abc123DEF456ghi789.', /abc123/],
    ['Incorrect API key provided: sk-proj-********wxyz.', /wxyz/],
    ['got header "Authorization: Bearer eyJhbGciOi.J9.abc"', /eyJ/],
    ['key AIzaSyD-1234567890abcdefghijk is blocked', /SyD/],
    ['gsk_0123456789abcdef is wrong', /0123/],
    ['AKIAIOSFODNN7EXAMPLE is unknown', /IOSF/],
    ['GET https://x.test/v1/m?alt=sse&key=topsecretvalue failed', /topsecret/],
    ['connect to https://user:hunter2@proxy.test:8080/ failed', /hunter2|user/],
  ])('%s', (text, leak) => {
    expect(redact(text)).not.toMatch(leak)
    expect(redact(text)).toContain('***')
  })

  test.each([
    'The model `gpt-99` does not exist',
    'risk-averse and desk-bound',
    'see https://x.test/a@b',
    'max_tokens is 4096',
  ])('and this is left alone: %s', (text) => {
    expect(redact(text)).toBe(text)
  })
})

test('a key that is no secret does not blacken every message', () => {
  expect(createRedactor(['x', 'no'])('no box')).toBe('no box')
})

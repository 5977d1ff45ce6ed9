import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { isJson } from './json-check.ts'

const check = (text: string) => isJson(Buffer.from(text))

function parses(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

describe('isJson', () => {
  test('takes every JSON value, with any white space', async () => {
    await fc.assert(
      fc.asyncProperty(fc.jsonValue(), fc.constantFrom(undefined, 1, '\t'), async (value, space) => {
        expect(await check(` ${JSON.stringify(value, null, space)}\r\n`)).toBe(true)
      }),
    )
  })

  test('says of texts of its own signs what JSON.parse says', async () => {
    const piece = fc.constantFrom(
      ...[
        '{',
        '}',
        '[',
        ']',
        ',',
        ':',
        '"',
        '"a"',
        '"\\u00e9"',
        '"\\',
        '\\u12',
        '1',
        '-',
        '0',
        '01',
        '1.5e+3',
        '1.',
        '.5',
      ],
      ...['true', 'nul', 'null', ' ', '\n', '\u00a0', 'é', '"\u0001"', '{"a":1}', '[[]]', '{}'],
    )
    await fc.assert(
      fc.asyncProperty(fc.array(piece, { maxLength: 8 }), async (pieces) => {
        const text = pieces.join('')
        expect(await check(text), text).toBe(parses(text))
      }),
      { numRuns: 3_000 },
    )
  })

  test('ends at ten thousand levels, and takes a byte order mark', async () => {
    expect(await check('['.repeat(10_000) + ']'.repeat(10_000))).toBe(true)
    expect(await check('['.repeat(10_001) + ']'.repeat(10_001))).toBe(false)
    expect(await check('\ufeff{"a": 1}')).toBe(true)
    expect(await check('')).toBe(false)
  })
})

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { isExactNumber, mayHaveLongNumbers, parseExactly } from './exact-json.ts'
import { isJsonObject, jsonDepth } from './json.ts'

const digits = (max: number) => fc.stringMatching(new RegExp(`^[0-9]{1,${max}}$`))
/** A number as JSON writes it, of any length. */
const number = fc
  .tuple(
    fc.constantFrom('', '-'),
    digits(30).map((text) => text.replace(/^0+(?=.)/, '')),
    fc.option(digits(30)),
    fc.option(fc.tuple(fc.constantFrom('e', 'E'), fc.constantFrom('', '+', '-'), digits(3))),
  )
  .map(
    ([sign, whole, part, power]) => `${sign}${whole}${part === null ? '' : `.${part}`}${power ? power.join('') : ''}`,
  )

/** Whether two texts are the same decimal number, by arithmetic of whole numbers. */
function isSame(a: string, b: string): boolean {
  const read = (text: string) => {
    const [mantissa = '', power = '0'] = text.toLowerCase().split('e')
    const [whole = '', part = ''] = mantissa.split('.')
    return { digits: BigInt(`${whole}${part}`), power: Number(power) - part.length }
  }
  const [x, y] = [read(a), read(b)]
  const least = Math.min(x.power, y.power)
  return x.digits * 10n ** BigInt(x.power - least) === y.digits * 10n ** BigInt(y.power - least)
}

describe('reading exactly', () => {
  test('gives every number back as the number that it was', () => {
    fc.assert(
      fc.property(number, (text) => {
        const value = parseExactly(text)
        expect(isSame(JSON.stringify(value), text)).toBe(true)
        expect(JSON.stringify(parseExactly(`{"a":[${text}]}`))).toBe(`{"a":[${JSON.stringify(value)}]}`)
        // What JavaScript can hold is a number of JavaScript.
        const asUsual = JSON.parse(text) as number
        const fits = Number.isFinite(asUsual) && isSame(String(asUsual), text)
        expect(isExactNumber(value)).toBe(!fits)
        if (fits) expect(value).toBe(asUsual)
      }),
    )
  })

  test('is reading as ever where there are no long numbers', () => {
    fc.assert(
      fc.property(fc.json({ noUnicodeString: false }), (text) => {
        const value = JSON.parse(text)
        if (JSON.stringify(value) === text) expect(JSON.stringify(parseExactly(text))).toBe(text)
        expect(JSON.parse(JSON.stringify(parseExactly(text)))).toEqual(JSON.parse(JSON.stringify(value)))
      }),
    )
  })

  test.each([
    ['9007199254740993', true],
    ['-9007199254740993', true],
    ['18446744073709551615', true],
    ['0.1234567890123456789', true],
    ['1e400', true],
    ['1e-400', true],
    ['9007199254740992', false],
    ['12345678901234567000', false],
    ['1.0000000000000000', false],
    ['1e21', false],
    ['0', false],
  ])('of %s keeps the text: %s', (text, isLong) => {
    expect(isExactNumber(parseExactly(text))).toBe(isLong)
    if (isLong) expect(JSON.stringify({ a: parseExactly(text) })).toBe(`{"a":${text}}`)
  })

  test('leaves texts of digits alone, and counts a long number as none of the objects', () => {
    expect(parseExactly('"90071992547409931234"')).toBe('90071992547409931234')
    const value = parseExactly('[90071992547409931234]')
    expect([jsonDepth(value), isJsonObject((value as unknown[])[0])]).toEqual([1, false])
  })

  test('looks closer only where it has to', () => {
    expect(mayHaveLongNumbers('{"message":"Hello","temperature":0.7,"at":1764333067123}')).toBe(false)
    expect(mayHaveLongNumbers('{"id":9007199254740993}')).toBe(true)
    for (const number of ['1E400', '1e-400', '1e+400', '0.123456789012345', '1234567890123456']) {
      for (const before of ['', ' ', '  ', '[[[']) expect(mayHaveLongNumbers(`${before}${number},`)).toBe(true)
    }
  })

  test('throws for what is no JSON, long numbers or not', () => {
    for (const text of ['{"a":90071992547409931', '90071992547409931x', '{'])
      expect(() => parseExactly(text)).toThrow(SyntaxError)
  })
})

test.each([
  ['{"id":"chatcmpl-12345678901234567890"}', false],
  ['{"system_fingerprint":"fp_9766e549b2","created":1763912345}', false],
  ['{"a":12345678901234567890}', true],
  ['[-1.234567890123456789]', true],
  ['{"a":1e400,"b":1}', true],
  ['12345678901234567890', true],
])('names with digits in them are read fast, numbers exactly: %s', (text, isSlow) => {
  expect(mayHaveLongNumbers(text)).toBe(isSlow)
})

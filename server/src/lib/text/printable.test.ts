import fc from 'fast-check'
import { expect, test } from 'vitest'
import { printable, printableJson, printableLine, visible } from './printable.ts'

/** Written without the classes of the code, one thing at a time. */
const isDangerous = (codePoint: number) =>
  (codePoint < 0x20 && codePoint !== 0x09 && codePoint !== 0x0a) ||
  (codePoint >= 0x7f && codePoint <= 0x9f) ||
  [0xad, 0x180e, 0x200b, 0x2028, 0x2029, 0xfeff].includes(codePoint) ||
  (codePoint >= 0x202a && codePoint <= 0x202e) ||
  (codePoint >= 0x2060 && codePoint <= 0x206f) ||
  (codePoint >= 0xfff9 && codePoint <= 0xfffb) ||
  (codePoint >= 0xe0000 && codePoint <= 0xe007f)
const dangersIn = (text: string) => [...text].filter((character) => isDangerous(character.codePointAt(0) as number))

const attacks = fc.constantFrom(
  ...['\u001b[2J', '\u001b]0;title\u0007', '\u001b]52;c;aGVsbG8=\u0007', '\u001b]8;;https://evil.test\u001b\\here'],
  ...[
    '\u009b31m',
    '\u009d52;c;x\u009c',
    '\u202egnp.exe\u202c',
    '\u2066hidden\u2069',
    '\u200b',
    '\u2060',
    '\ufeff',
    '\r',
  ],
  ...['\b\b\b', '\u0000', '\u007f', '\u00ad', '\u2028', '\u{e0041}\u{e0042}', '\u061b'],
)
const texts = fc.array(fc.oneof(attacks, fc.string({ unit: 'binary', maxLength: 20 })), { maxLength: 10 })

test('nothing that a terminal obeys or that hides is left, whatever is written', () => {
  fc.assert(
    fc.property(texts, (parts) => {
      expect(dangersIn(printable(parts.join('')))).toEqual([])
      expect(printableLine(parts.join(''))).not.toMatch(/[\n\t]/)
      // Going over it again changes nothing, so nothing arises from what was left.
      expect(printable(printable(parts.join('')))).toBe(printable(parts.join('')))
    }),
    { numRuns: 500 },
  )
})

test('what is dangerous can be shown, and nothing of it is left', () => {
  expect(visible('a\u202eb\u001b[2J\r\nc\u2028d\te\u{e0041}')).toBe('a[U+202E]b[U+001B][2J\nc\nd\te[U+E0041]')
  fc.assert(
    fc.property(texts, (parts) => {
      expect(dangersIn(visible(parts.join('')))).toEqual([])
    }),
  )
})

test('what is harmless stays as it is, in its order', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      const harmless = [...text].filter((character) => !isDangerous(character.codePointAt(0) as number)).join('')
      expect(printable(harmless)).toBe(harmless)
    }),
  )
})

test.each([
  'Grüße, żółć, ¿qué?\n\tand a tab',
  'مرحبا بالعالم، می‌خواهم',
  'שלום עולם \u200f(123)\u200e',
  'क्षत्रिय और र्‍य',
  'ภาษาไทย ខ្មែរ မြန်မာ',
  '日本語の漢字仮名交じり文、葛\u{e0100}城',
  '👩‍🚀 👨‍👩‍👧‍👦 🏳️‍🌈 ❤️ 🇩🇪 1️⃣',
  '\u{1f3f4}\u{e0067}\u{e0062}\u{e0073}\u{e0063}\u{e0074}\u{e007f} Scotland',
  '∑ √ ∞ → ½',
])('people write like this: %s', (text) => {
  expect(printable(text)).toBe(text)
})

test('JSON is the same to a parser, and harmless', () => {
  fc.assert(
    fc.property(texts, (parts) => {
      const value = { [parts.join('')]: parts }
      for (const json of [JSON.stringify(value), JSON.stringify(value, null, 2)]) {
        expect(JSON.parse(printableJson(json))).toEqual(value)
        expect(dangersIn(printableJson(json))).toEqual([])
      }
    }),
  )
})

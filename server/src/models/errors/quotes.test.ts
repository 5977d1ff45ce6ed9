import fc from 'fast-check'
import { expect, test } from 'vitest'
import { withoutQuotes } from './quotes.ts'

const PROMPT =
  'You are Ada, the keeper of the recipe: two parts "rye", one part Größe & salt (100% of it).\n' +
  'Never tell the code 4711-0815 to anybody!\n\n  Οδυσσεύς told you so; İstanbul 東京都港区芝公園四丁目二番八号 🗼 and <b>bold words</b> of C:\\new\\tables here'

/** What providers, their SDKs and the gateways before them do to a text that they quote. */
const SPELLINGS: Record<string, (text: string) => string> = {
  'as it is': (text) => text,
  'in capitals': (text) => text.replaceAll(/[a-z]/g, (letter) => letter.toUpperCase()),
  'on one line': (text) => text.replaceAll(/\s+/g, ' '),
  'without white space': (text) => text.replaceAll(/\s+/g, ''),
  'on many lines': (text) => text.replaceAll(' ', '\n    '),
  'in JSON': (text) => JSON.stringify(text),
  'in JSON in JSON in JSON': (text) => JSON.stringify(JSON.stringify(JSON.stringify(text))),
  'in ASCII': (text) =>
    JSON.stringify(text).replaceAll(/[^ -~]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`),
  'in HTML': (text) =>
    text.replaceAll(/[&<>"']/g, (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[c] ?? '&#39;'),
  'in HTML in HTML': (text) => text.replaceAll('&', '&amp;amp;').replaceAll('"', '&amp;quot;'),
  'a letter a line in JSON': (text) => JSON.stringify([...text].join('\n')),
  'in base64': (text) => Buffer.from(text).toString('base64'),
  'in base64 behind more': (text) => Buffer.from(`x${text}`).toString('base64url'),
  'in base64 and backwards': (text) => Buffer.from(text).toString('base64').split('').reverse().join(''),
  'backwards in base64': (text) => Buffer.from([...text].reverse().join('')).toString('base64'),
  'in base64 of base64': (text) => Buffer.from(Buffer.from(text).toString('base64')).toString('base64'),
  'in hexadecimal': (text) => Buffer.from(text).toString('hex'),
  'in hexadecimal with colons': (text) => (Buffer.from(text).toString('hex').match(/../g) ?? []).join(':'),
  'as bytes': (text) => JSON.stringify([...Buffer.from(text)]),
  'as a buffer over lines': (text) => JSON.stringify(Buffer.from(text), null, 2),
  'in a form': (text) => new URLSearchParams({ a: text }).toString(),
  'in a form in a URL': (text) => encodeURIComponent(new URLSearchParams({ a: text }).toString()),
  'percent-encoded throughout': encodeURIComponent,
  'percent-encoded three times': (text) => encodeURIComponent(encodeURIComponent(encodeURIComponent(text))),
  'percent-encoded': (text) => text.replaceAll(/[^\w\x80-\uffff]/g, (c) => encodeURIComponent(c)),
}

/** What takes apart the escapes that a text has itself, and leaves marks at its edges. */
const MARKED: Record<string, (text: string) => string> = {
  backwards: (text) => [...text].reverse().join(''),
  'a letter a line': (text) => [...text].join('\n'),
  'as a list of letters': (text) => JSON.stringify([...text]),
  'with hyphens': (text) => [...text].join('-'),
}

test.each(Object.entries(MARKED))('hardly a letter of 40 characters survives: %s', (_name, spell) => {
  const plain = PROMPT.slice(0, PROMPT.indexOf('C:\\new'))
  const lettersOf = (text: string) => text.replaceAll(/[^\p{L}\p{N}]/gu, '')
  fc.assert(
    fc.property(fc.nat(plain.length - 40), fc.integer({ min: 40, max: 120 }), (from, length) => {
      const [shown = ''] = withoutQuotes(
        [`Invalid: ${spell(plain.slice(from, from + length).toWellFormed())} (code)`],
        [PROMPT],
      )
      expect(shown).toContain('…')
      expect(lettersOf(shown).length).toBeLessThan(lettersOf('Invalid (code)').length + 7)
    }),
  )
})

test.each(Object.entries(SPELLINGS))('no piece of 24 characters survives: %s', (_name, spell) => {
  fc.assert(
    fc.property(fc.nat(PROMPT.length - 24), fc.integer({ min: 24, max: 120 }), (from, length) => {
      const piece = PROMPT.slice(from, from + length).toWellFormed()
      // A half of a character at an edge is not in the prompt.
      const whole = piece.replaceAll('\ufffd', '')
      const around = ['Invalid value: ', ' (code 7)'] as const
      const [shown = ''] = withoutQuotes([around.join(spell(whole))], [PROMPT])
      expect(shown).toContain('…')
      // A quotation mark, or a slash before one, at either end.
      expect(shown.replaceAll(/\s+/g, ' ').length).toBeLessThan(around.join('').length + spell('"&').length * 4)
    }),
  )
})

test('words that quote nothing stay as they are, whatever they are', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 300 }), (words) => {
      expect(withoutQuotes([words], [])).toEqual([words])
      expect(withoutQuotes([words], ['What a provider has never heard of.'])).toEqual([words])
    }),
  )
})

test('each of several words is gone over, and nothing is taken for a quotation that runs from one into the next', () => {
  const text = 'abcdefghijklmnopqrstuvwxyz'
  expect(withoutQuotes([`x ${text}`, 'abcdefgh', 'ijklmnopqr', `${text} y`], [text])).toEqual([
    'x …',
    'abcdefgh',
    'ijklmnopqr',
    '… y',
  ])
})

test('a text of one letter over and over is found once, and as fast as any', () => {
  const shown = withoutQuotes(['a'.repeat(1_000), '\\'.repeat(1_000), '&amp;'.repeat(200)], ['a'.repeat(100_000)])
  expect(shown[0]).toBe('…')
})

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createHideSecrets, MOST_SEARCHED } from './hide-secrets.ts'

const SECRET = 'sk-Live_9f/8Q+z"x\\7<&>%41'
const hide = createHideSecrets([SECRET])
const each = (text: string, spell: (code: number) => string) =>
  [...text].map((letter) => spell(letter.charCodeAt(0))).join('')
const hex = (code: number, digits = 2) => code.toString(16).padStart(digits, '0')

const DISGUISES: Record<string, (secret: string) => string> = {
  'as it is': (secret) => secret,
  'in upper case': (secret) => secret.toUpperCase(),
  'in lower case': (secret) => secret.toLowerCase(),
  'over several lines': (secret) => secret.replaceAll(/(.{3})/g, '$1\r\n\t'),
  'with spaces': (secret) => secret.split('').join(' '),
  'as JSON': (secret) => JSON.stringify(secret),
  'as JSON in JSON': (secret) => JSON.stringify({ text: JSON.stringify({ secret }) }),
  'as units of JSON': (secret) => each(secret, (code) => `\\u${hex(code, 4)}`),
  'as units of JSON in JSON': (secret) => JSON.stringify(each(secret, (code) => `\\u${hex(code, 4).toUpperCase()}`)),
  'as code points': (secret) => each(secret, (code) => `\\u{${hex(code)}}`),
  'as bytes of a string': (secret) => each(secret, (code) => `\\x${hex(code)}`),
  'as octal': (secret) => each(secret, (code) => `\\${code.toString(8).padStart(3, '0')}`),
  'percent-encoded': encodeURIComponent,
  'percent-encoded twice': (secret) => encodeURIComponent(encodeURIComponent(secret)),
  'percent-encoded throughout': (secret) => each(secret, (code) => `%${hex(code)}`),
  'as a form': (secret) => new URLSearchParams({ a: secret }).toString(),
  'in HTML': (secret) =>
    secret.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;'),
  'as numbers of HTML': (secret) => each(secret, (code) => `&#${code};`),
  'as hexadecimal numbers of HTML': (secret) => each(secret, (code) => `&#X${hex(code)};`),
  'in hexadecimal': (secret) => Buffer.from(secret).toString('hex'),
  'in hexadecimal of upper case': (secret) => Buffer.from(secret).toString('hex').toUpperCase(),
  'in base64': (secret) => Buffer.from(secret).toString('base64'),
  'in base64 behind one': (secret) => Buffer.from(`:${secret}`).toString('base64'),
  'in base64 behind two': (secret) => Buffer.from(`a:${secret}!`).toString('base64'),
  'in base64 of URLs': (secret) => Buffer.from(`user:${secret}`).toString('base64url'),
  'in base64 over several lines': (secret) =>
    Buffer.from(secret)
      .toString('base64')
      .replaceAll(/(.{4})/g, '$1\n'),
  'in hexadecimal with colons': (secret) => (Buffer.from(secret).toString('hex').match(/../g) ?? []).join(':'),
  'in hexadecimal with spaces': (secret) => (Buffer.from(secret).toString('hex').match(/../g) ?? []).join(' '),
  'as bytes of C': (secret) => [...Buffer.from(secret)].map((byte) => `0x${hex(byte)}`).join(', '),
  'as code points of Unicode': (secret) => [...Buffer.from(secret)].map((byte) => `U+00${hex(byte)}`).join(' '),
  'as bytes of JSON': (secret) => JSON.stringify([...Buffer.from(secret)]),
  'as bytes of JSON over lines': (secret) => JSON.stringify([...Buffer.from(secret)], null, 2),
  'as a buffer': (secret) => JSON.stringify(Buffer.from(secret)),
  'as numbered bytes': (secret) => JSON.stringify(new Uint8Array(Buffer.from(secret))),
  'as a list of octal': (secret) => [...Buffer.from(secret)].map((byte) => byte.toString(8).padStart(3, '0')).join(' '),
  'in binary': (secret) => [...Buffer.from(secret)].map((byte) => byte.toString(2).padStart(8, '0')).join(' '),
  'percent-encoded three times': (secret) => encodeURIComponent(encodeURIComponent(encodeURIComponent(secret))),
  reversed: (secret) => secret.split('').reverse().join(''),
  'reversed in base64': (secret) => Buffer.from(secret.split('').reverse().join('')).toString('base64'),
  'in base64 and reversed': (secret) => Buffer.from(secret).toString('base64').split('').reverse().join(''),
  'with a letter a line': (secret) => secret.split('').join('\n'),
  'with a letter a line as JSON': (secret) => JSON.stringify(secret.split('').join('\n')),
  'in base64 of base64': (secret) => Buffer.from(Buffer.from(secret).toString('base64')).toString('base64'),
  'in base64 of base64 of more': (secret) =>
    Buffer.from(`x ${Buffer.from(`user:${secret}`).toString('base64url')}`).toString('base64'),
  'in base64 of hexadecimal': (secret) => Buffer.from(Buffer.from(secret).toString('hex')).toString('base64'),
  'in hexadecimal of base64': (secret) => Buffer.from(Buffer.from(secret).toString('base64')).toString('hex'),
  'in hexadecimal of hexadecimal': (secret) => Buffer.from(Buffer.from(secret).toString('hex')).toString('hex'),
  'in base64 within JSON': (secret) => JSON.stringify(Buffer.from(secret).toString('base64')).replaceAll('/', '\\/'),
}

/** Those with marks between the letters: a secret is found in them by its letters. */
const MARKED: Record<string, (secret: string) => string> = {
  'as a list of letters': (secret) => JSON.stringify(secret.split('')),
  'as numbered letters': (secret) => JSON.stringify({ ...secret.split('') }),
  'as a numbered list': (secret) =>
    secret
      .split('')
      .map((letter, i) => `${i + 1}. ${letter}`)
      .join('\n'),
  'with hyphens': (secret) => secret.split('').join('-'),
}

/** Everything that a text says, however it says it: what an attacker could read out of it. */
function readings(text: string): string[] {
  const plain = text.replaceAll(/\s/g, '')
  const decoders: ((text: string) => string)[] = [
    (one) => one.replaceAll(/%([0-9a-f]{2})/gi, (_all, code) => String.fromCharCode(Number.parseInt(code, 16))),
    (one) =>
      one.replaceAll(/\\u\{?([0-9a-f]{2,4})\}?/gi, (_all, code) => String.fromCharCode(Number.parseInt(code, 16))),
    (one) => one.replaceAll(/\\x([0-9a-f]{2})/gi, (_all, code) => String.fromCharCode(Number.parseInt(code, 16))),
    (one) => one.replaceAll(/\\([0-7]{3})/g, (_all, code) => String.fromCharCode(Number.parseInt(code, 8))),
    (one) => one.replaceAll(/&#x([0-9a-f]+);/gi, (_all, code) => String.fromCharCode(Number.parseInt(code, 16))),
    (one) => one.replaceAll(/&#(\d+);/g, (_all, code) => String.fromCharCode(Number(code))),
    (one) => one.replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&quot;', '"').replaceAll('&amp;', '&'),
    (one) => one.replaceAll(/\\(["\\/])/g, '$1'),
  ]
  const read = new Set([plain])
  for (const decode of [...decoders, ...decoders]) for (const one of [...read]) read.add(decode(one))
  const runs = [...read].flatMap((one) => [
    one,
    ...(one.match(/[\w+/-]{4,}/g) ?? []).flatMap((run) => [
      ...[0, 1, 2, 3].map((skip) => Buffer.from(run.slice(skip), 'base64').toString('latin1')),
      Buffer.from(run, 'hex').toString('latin1'),
    ]),
  ])
  return runs.map((one) => one.toLowerCase())
}

describe('a secret', () => {
  test.each(Object.entries({ ...DISGUISES, ...MARKED }))('is hidden %s', (_how, disguise) => {
    const hidden = hide(`before ${disguise(SECRET)} behind`)
    expect(hidden).toContain('[secret]')
    expect(hidden).toMatch(/^before /)
    expect(hidden).toMatch(/ behind$/)
    const needle = SECRET.toLowerCase().slice(0, 8)
    expect(readings(hidden).filter((read) => read.includes(needle))).toEqual([])
  })

  test('is hidden in whatever disguise, whatever it is', () => {
    const secrets = fc.string({
      unit: fc.integer({ min: 0x21, max: 0x7e }).map((code) => String.fromCharCode(code)),
      minLength: 10,
      maxLength: 60,
    })
    const words = fc.string({ maxLength: 40 })
    fc.assert(
      fc.property(secrets, fc.constantFrom(...Object.keys(DISGUISES)), words, words, (secret, how, before, behind) => {
        const disguise = DISGUISES[how] as (text: string) => string
        const hidden = createHideSecrets([secret])(`${before} ${disguise(secret)} ${behind}`)
        expect(hidden).toContain('[secret]')
        expect(hidden).not.toContain(disguise(secret))
      }),
      { numRuns: 500 },
    )
  })

  test('of letters and digits is hidden with marks between them', () => {
    const secrets = fc.string({ unit: fc.constantFrom(...'ABCdefGHI789+/-'), minLength: 16, maxLength: 60 })
    fc.assert(
      fc.property(secrets, fc.constantFrom(...Object.keys(MARKED)), (secret, how) => {
        fc.pre(secret.replaceAll(/\W/g, '').length >= secret.length / 2)
        const letters = createHideSecrets([secret])((MARKED[how] as (text: string) => string)(secret)).replaceAll(
          /\W/g,
          '',
        )
        expect(letters).toContain('secret')
        expect(letters.length).toBeLessThan(20)
      }),
    )
  })

  test('is hidden where the text was cut within it', () => {
    fc.assert(
      fc.property(fc.constantFrom(...Object.keys(DISGUISES)), fc.nat(), (how, n) => {
        const disguised = (DISGUISES[how] as (text: string) => string)(SECRET)
        const text = `You sent ${disguised}`
        const cut = text.slice(0, text.length - (n % disguised.length))
        const needle = SECRET.toLowerCase().slice(0, 6)
        const read = readings(hide(cut, true))
        expect(read.filter((one) => one.includes(needle))).toEqual([])
      }),
      { numRuns: 100 },
    )
  })

  test('is hidden where Latin-1 was taken for UTF-8, or UTF-8 for Latin-1', () => {
    const secret = 'geheim\u00e9\u00fc\u00dfgeheim'
    const hideIt = createHideSecrets([secret])
    for (const bytes of [Buffer.from(secret, 'latin1'), Buffer.from(secret, 'utf8')]) {
      for (const text of [bytes.toString('latin1'), new TextDecoder().decode(bytes), bytes.toString('base64')]) {
        expect(hideIt(`<${text}>`).replaceAll('=', '')).toBe('<[secret]>')
      }
    }
    expect(hideIt(encodeURIComponent(secret))).toBe('[secret]')
  })

  test('of a few letters is hidden as it is', () => {
    expect(createHideSecrets(['abc', 'x'])('abc ABC YWJj xyz')).toBe('[secret] ABC YWJj [secret]yz')
  })
})

describe('a piece of a secret', () => {
  const LONG = 'q7Zk2MvX9tRb4LwYc8Hd3NfJ6sPg5Ka'
  const hideLong = createHideSecrets([LONG])
  const spellings: [string, (piece: string) => string][] = [
    ['as it is', (piece) => piece],
    ['in base64', (piece) => Buffer.from(piece).toString('base64')],
    ['in hexadecimal', (piece) => Buffer.from(piece).toString('hex')],
    ['reversed', (piece) => piece.split('').reverse().join('')],
  ]

  test.each(spellings)('is hidden where two halves stand apart: %s', (_how, spell) => {
    const [first, second] = [LONG.slice(0, 15), LONG.slice(15)]
    const hidden = hideLong(JSON.stringify({ first: spell(first), between: 'something', second: spell(second) }))
    expect(JSON.parse(hidden)).toMatchObject({ between: 'something' })
    for (const half of [first, second]) {
      for (let at = 0; at < half.length - 5; at++) expect(hidden).not.toContain(spell(half.slice(at, at + 5)))
    }
    expect(hidden.split('[secret]')).toHaveLength(3)
  })

  test('stays where the header around the secret is what it is a piece of', () => {
    const value = `session=${LONG}; path=/of/the/service`
    const hideHeader = createHideSecrets([LONG], [value])
    expect(hideHeader('path=/of/the/service and session=')).toBe('path=/of/the/service and session=')
    expect(hideHeader(`<${value}>`)).toBe('<[secret]>')
  })
})

describe('a text', () => {
  test('without a secret stays as it is', () => {
    const secrets = fc.string({ unit: fc.constantFrom(...'ABCDEFGHIJ0123456789'), minLength: 16, maxLength: 40 })
    fc.assert(
      fc.property(
        fc.array(secrets, { maxLength: 3 }),
        fc.string({ unit: 'binary' }),
        fc.boolean(),
        (known, text, isCut) => {
          expect(createHideSecrets(known)(text, isCut)).toBe(text)
        },
      ),
      { numRuns: 300 },
    )
  })

  test('keeps what stands around a secret', () => {
    expect(hide(`{"a":1,"token":${JSON.stringify(SECRET)},"b":[2]}`)).toBe('{"a":1,"token":"[secret]","b":[2]}')
    expect(createHideSecrets(['abcdef', 'abcdefghij'])('1 abcdefghij 2 abcdef 3')).toBe('1 [secret] 2 [secret] 3')
  })

  test('that is too long to be searched ends there, and not within a secret', () => {
    const text = `${'x'.repeat(MOST_SEARCHED - 8)}${SECRET}${SECRET}`
    expect(hide(text)).toBe(`${'x'.repeat(MOST_SEARCHED - 8)}[secret]`)
  })
})

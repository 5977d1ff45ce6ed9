import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createTextCleaner } from './text-cleaner.ts'

function clean(pieces: readonly string[]): string[] {
  const cleaner = createTextCleaner()
  return [...pieces.map(cleaner.push), cleaner.flush()]
}

/** Pieces as a careless provider cuts them: anywhere, with halves of pairs and NULs among them. */
const pieces = fc.array(
  fc
    .array(fc.constantFrom('a', '\0', '\ud83c', '\udfad', '\ud83c\udfad', 'é', '界'), { maxLength: 4 })
    .map((units) => units.join('')),
)

test('gives well-formed text without NUL, whatever comes', () => {
  fc.assert(
    fc.property(pieces, (given) => {
      for (const piece of clean(given)) {
        expect(piece.isWellFormed()).toBe(true)
        expect(piece).not.toContain('\0')
      }
    }),
  )
})

test('changes nothing but what cannot be stored, wherever the text is cut', () => {
  fc.assert(
    fc.property(pieces, (given) => {
      expect(clean(given).join('')).toBe(given.join('').replaceAll('\0', '\ufffd').toWellFormed())
    }),
  )
})

test('holds back half a pair until the other half comes', () => {
  expect(clean(['mask: \ud83c', '\udfad!'])).toEqual(['mask: ', '🎭!', ''])
})

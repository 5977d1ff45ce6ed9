import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { seal, unseal } from './seal.ts'

const key = randomBytes(32)

test('opens what it sealed, and never writes the same twice', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), (text) => {
      const sealed = seal(key, 'here', text)
      expect(unseal(key, 'here', sealed)).toBe(text)
      expect(seal(key, 'here', text)).not.toBe(sealed)
    }),
  )
})

test('opens with no other key, in no other place, and not when a bit has changed', () => {
  const sealed = seal(key, 'here', 'a secret')
  expect(unseal(randomBytes(32), 'here', sealed)).toBeNull()
  expect(unseal(key, 'there', sealed)).toBeNull()
  const bytes = Buffer.from(sealed, 'base64')
  for (let i = 0; i < bytes.length; i++) {
    const damaged = Buffer.from(bytes)
    damaged[i] = (damaged[i] as number) ^ 1
    expect(unseal(key, 'here', damaged.toString('base64'))).toBeNull()
  }
  for (const broken of ['', 'AAAA', 'no base64!']) expect(unseal(key, 'here', broken)).toBeNull()
})

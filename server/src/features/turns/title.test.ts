import fc from 'fast-check'
import { expect, test } from 'vitest'
import { titleFrom } from './title.ts'

test.each([
  ['Hi there', 'Hi there'],
  ['How do I descale the kettle? It is old.', 'How do I descale the kettle?'],
  ['**Bold** and `code`', 'Bold and code'],
  ['two\nlines', 'two lines'],
  ['```js\nlet a\n``` what is this', 'what is this'],
  ['   ', null],
  ['###', null],
])('%j becomes %j', (text, title) => {
  expect(titleFrom(text)).toBe(title)
})

test('is one well-formed line of at most 61 units', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 400 }), (text) => {
      const title = titleFrom(text)
      if (title === null) return
      expect(title.length).toBeLessThanOrEqual(61)
      expect(title).not.toMatch(/[\n\r]/)
      expect(title.isWellFormed()).toBe(text.isWellFormed() || title.isWellFormed())
    }),
  )
})

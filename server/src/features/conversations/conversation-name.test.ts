import fc from 'fast-check'
import { expect, test } from 'vitest'
import { titleFrom, titleFromModel } from './conversation-name.ts'

test.each([
  ['Hi there', 'Hi there'],
  ['How do I descale the kettle? It is old.', 'How do I descale the kettle?'],
  ['**Bold** and `code`', 'Bold and code'],
  ['two\nlines', 'two lines'],
  ['```js\nlet a\n``` what is this', 'what is this'],
  ['"What is a quark?"', 'What is a quark?'],
  ['- first\n- second', 'first second'],
  ['See [the docs](https://example.com/a?b=c) please', 'See the docs please'],
  ['你好，我想请教一下怎么在家里做手工面条。我试过两次。', '你好，我想请教一下怎么在家里做手工面条'],
  ['a\u202egnp.exe', 'agnp.exe'],
  ['\u0000\u0007bell', 'bell'],
  ['🐈', '🐈'],
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

test.each([
  ['A kettle that leaks', 'A kettle that leaks'],
  ['"A kettle that leaks."', 'A kettle that leaks'],
  ['Title: «Ein Kessel»', 'Ein Kessel'],
  ['**Title:** The “old” kettle', 'The “old” kettle'],
  ['\n\n# Kettle\n\nIs there anything else?', 'Kettle'],
  ['标题：水壶', '水壶'],
  ['', null],
  ['""', null],
  [' \n\t', null],
])('a model that says %j means %j', (text, title) => {
  expect(titleFromModel(text)).toBe(title)
})

test('what a model says becomes one line of at most 61 units', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 400 }), (text) => {
      const title = titleFromModel(text)
      if (title === null) return
      expect(title.length).toBeLessThanOrEqual(61)
      expect(title.trim()).toBe(title)
      expect(title).not.toMatch(/[\n\r\u202e\p{Cc}]/u)
      expect(title).not.toBe('')
    }),
  )
})

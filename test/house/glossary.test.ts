import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { ROOT, rowsOf, textOf } from '../support/pages.ts'

const WORDS = rowsOf(textOf('docs/glossary.md')).map(([word = '']) => word)

/** Names of the code as words: `replyLog`, `reply_log` and `reply-log` are "reply log". */
const wordsOf = (text: string) =>
  ` ${text
    .replaceAll(/([a-z\d])([A-Z])/g, '$1 $2')
    .replaceAll(/[^A-Za-z]+/g, ' ')
    .toLowerCase()} `

const CODE = wordsOf(
  readdirSync(join(ROOT, 'server/src'), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts') && !file.endsWith('.test.ts'))
    .map((file) => `${file} ${readFileSync(join(ROOT, 'server/src', file), 'utf8')}`)
    .join('\n'),
)
const isUsed = (word: string) => [word, `${word}s`].some((one) => CODE.includes(` ${one.toLowerCase()} `))

test('every word of the glossary is used in the code', () => {
  expect(WORDS.length).toBeGreaterThan(60)
  expect(WORDS.filter((word) => !isUsed(word))).toEqual([])
})

test('each word stands there once, in the order of the alphabet', () => {
  const lower = WORDS.map((word) => word.toLowerCase())
  expect(lower).toEqual([...new Set(lower)].toSorted())
})

import { expect, test } from 'vitest'
import { formatJson, formatTable, formatTime } from './table.ts'

test('columns stand below each other whatever is in them', () => {
  const rows = [
    ['NAME', 'NEXT'],
    ['plain', 'x'],
    ['日本語', 'x'],
    ['👩‍🚀 Ada', 'x'],
    ['Zoë e\u0301', 'x'],
  ]
  expect(formatTable(rows)).toBe('NAME    NEXT\nplain   x\n日本語  x\n👩‍🚀 Ada  x\nZoë e\u0301   x\n')
})

test('a cell is one line without commands', () => {
  expect(formatTable([['A'], ['one\ntwo\u001b[2J\u009b3m']])).toBe('A\none two[2J3m\n')
})

test('JSON is the same to a parser, and harmless to a terminal', () => {
  const list = [{ name: 'a\u001b[2J\u007f\u009b3mé👩‍🚀' }]
  const text = formatJson(list)
  expect(JSON.parse(text)).toEqual(list)
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not get through
  expect(text).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/)
})

test('times are short and in UTC', () => {
  expect(formatTime(Date.parse('2026-01-02T03:04:59.9Z'))).toBe('2026-01-02 03:04Z')
  expect(formatTime(null)).toBe('-')
})

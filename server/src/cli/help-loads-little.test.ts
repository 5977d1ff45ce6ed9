import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'

test('help needs nothing of the server', () => {
  const elsewhere = [...loadedBy(join(import.meta.dirname, 'run.ts'))].filter(
    (file) => dirname(file) !== import.meta.dirname,
  )
  expect(elsewhere).toEqual([join(import.meta.dirname, '../lib/text/printable.ts')])
})

/** The file and everything that it imports before it runs. */
function loadedBy(file: string, seen = new Set<string>()): Set<string> {
  if (seen.has(file)) return seen
  seen.add(file)
  for (const [, path = ''] of readFileSync(file, 'utf8').matchAll(/^import (?!type\b)[^\n]*'(\.[^']+)'/gm)) {
    loadedBy(join(dirname(file), path), seen)
  }
  return seen
}

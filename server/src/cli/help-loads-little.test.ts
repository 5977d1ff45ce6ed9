import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'

test('help needs nothing of the server', () => {
  const forHelp = [...loadedBy(join(import.meta.dirname, 'run.ts'))].map((file) => dirname(file))
  expect(new Set(forHelp)).toEqual(new Set([import.meta.dirname]))
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

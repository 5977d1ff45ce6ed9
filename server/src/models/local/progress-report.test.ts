import { expect, test } from 'vitest'
import { createProgressReport } from './progress-report.ts'

const total = 4_000_000_000

test('a terminal gets a bar for every percent', () => {
  let shown = ''
  const terminal = { write: (text: string) => (shown += text) }
  const report = createProgressReport({ terminal, log: () => expect.unreachable() })
  for (const received of [0, 1_000, 2_000_000_000, 2_000_001_000, total]) report({ id: 'hf:a/b', received, total })
  expect(shown.split('\r').slice(1)).toEqual([
    `hf:a/b [${'.'.repeat(30)}] 0 % 0.0 of 4000 MB`,
    `hf:a/b [${'#'.repeat(15)}${'.'.repeat(15)}] 50 % 2000 of 4000 MB`,
    `hf:a/b [${'#'.repeat(30)}] 100 % 4000 of 4000 MB\n`,
  ])
})

test('a log gets a line for every ten', () => {
  const lines: string[] = []
  const report = createProgressReport({ terminal: null, log: (line) => lines.push(line) })
  for (let percent = 0; percent <= 100; percent++) report({ id: 'hf:a/b', received: (total / 100) * percent, total })
  expect(lines).toHaveLength(11)
  expect(lines[5]).toBe('downloading hf:a/b: 50 % (2000 of 4000 MB)')
})

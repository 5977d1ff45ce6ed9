import type { Reporter, TestModule } from 'vitest/node'
import { emptyTally, type Tally } from './tally.ts'

const COLUMNS: readonly [keyof Tally, string][] = [
  ['faults', 'faults injected'],
  ['turns', 'turns'],
  ['acknowledged', 'acknowledged'],
  ['lost', 'lost'],
  ['duplicated', 'duplicated'],
  ['stuck', 'stuck'],
]

/** Prints what the fault suite has counted, when all tests are over; prints nothing when it did not run. */
export function createFaultTable(): Reporter {
  return {
    onTestRunEnd(modules: readonly TestModule[]) {
      const rows = new Map<string, Tally>()
      for (const module of modules) {
        for (const test of module.children.allTests()) {
          const counted = test.meta().faultSuite
          if (!counted) continue
          const row = rows.get(counted.group) ?? emptyTally()
          for (const [name] of COLUMNS) row[name] += counted.tally[name]
          rows.set(counted.group, row)
        }
      }
      if (rows.size > 0) process.stdout.write(`\n${format(rows)}\n`)
    },
  }
}

function format(rows: ReadonlyMap<string, Tally>): string {
  const total = emptyTally()
  for (const row of rows.values()) for (const [name] of COLUMNS) total[name] += row[name]
  const lines = [...rows, ['total', total] as const]
  const width = Math.max(...lines.map(([group]) => group.length))
  const head = ['Faults'.padEnd(width), ...COLUMNS.map(([, title]) => title)].join('  ')
  const body = lines.map(([group, row]) =>
    [group.padEnd(width), ...COLUMNS.map(([name, title]) => String(row[name]).padStart(title.length))].join('  '),
  )
  return [head, '-'.repeat(head.length), ...body.slice(0, -1), '-'.repeat(head.length), body.at(-1)].join('\n')
}

import { writeResults } from './report/bench-section.ts'
import { keptResults } from './report/kept.ts'
import type { Results } from './report/results.ts'
import { type Soak, writeSoak } from './report/soak-section.ts'

/** Writes docs/performance.md again from the last results, for when its text has changed: `node bench/page.ts`. */

for (const section of ['bench', 'peers'] as const) {
  const results = keptResults<Results>(section)
  if (results !== null) writeResults(results, section)
}
const soak = keptResults<Soak>('soak')
if (soak !== null) writeSoak(soak)

import type { TestContext } from 'vitest'

/** What a test of the fault suite has done to the server, and what came of it. */
export type Tally = {
  /** Faults injected: kills, cuts, stalls, crowds. */
  faults: number
  /** Runs that began. */
  turns: number
  /** Messages, replies and receipts that a client had been told of. */
  acknowledged: number
  /** Of those, the ones that are not there any more, or not as they were. */
  lost: number
  /** There more than once. */
  duplicated: number
  /** Runs that never ended. */
  stuck: number
}

declare module 'vitest' {
  interface TaskMeta {
    faultSuite?: { group: string; tally: Tally }
  }
}

export function emptyTally(): Tally {
  return { faults: 0, turns: 0, acknowledged: 0, lost: 0, duplicated: 0, stuck: 0 }
}

/** Adds what a test has counted to the table that is printed when all tests are over. */
export function report({ task }: TestContext, group: string, counts: Partial<Tally>): void {
  const tally = task.meta.faultSuite?.tally ?? emptyTally()
  for (const name of Object.keys(tally) as (keyof Tally)[]) tally[name] += counts[name] ?? 0
  task.meta.faultSuite = { group, tally }
}

import type { Facts } from '../scenarios/facts.ts'
import { type Spread, spreadOf } from './statistics.ts'

/** What a run of the benchmark has found. */
export type Results = {
  /** ISO 8601. */
  startedAt: string
  minutes: number
  machine: readonly string[]
  servers: readonly MeasuredServer[]
  ceilings: Facts
  repetitions: readonly Repetition[]
  /** Answers that were wrong. */
  complaints: readonly string[]
}

export type MeasuredServer = {
  name: string
  title: string
  versions: string
  /** Why it could not be measured, or null. */
  missing: string | null
}

/** What one repetition has measured. */
export type Repetition = {
  /** Straight against the provider. */
  direct: Facts
  /** By the name of the server. */
  facts: Record<string, Facts>
}

/** A measurement of a server over all repetitions; null where there is none. */
export function spreadOfFact({ repetitions }: Results, server: string, fact: string): Spread | null {
  return spreadOf(repetitions.map((repetition) => factOf(repetition, server, fact)))
}

/**
 * What was measured, or follows from it: `added.p50` is the time to the first token less that of the provider itself, and
 * `ratio:<fact>` is a measurement divided by that of the floor in the same repetition.
 */
export function factOf(repetition: Repetition, server: string, fact: string): number | undefined {
  const { direct, facts } = repetition
  const own = facts[server] ?? {}
  const added = /^added\.(p50|p99)$/.exec(fact)?.[1]
  if (added !== undefined) return difference(own[`turns.1.first.${added}`], direct[`direct.first.${added}`])
  if (fact.startsWith('ratio:')) {
    const of = fact.slice('ratio:'.length)
    return quotient(factOf(repetition, server, of), factOf(repetition, 'floor', of))
  }
  if (fact === 'history.growth') return quotient(own['history.window10000.p50'], own['history.window1000.p50'])
  return own[fact]
}

const difference = (a: number | undefined, b: number | undefined) =>
  a === undefined || b === undefined ? undefined : a - b
const quotient = (a: number | undefined, b: number | undefined) =>
  a === undefined || b === undefined ? undefined : a / b

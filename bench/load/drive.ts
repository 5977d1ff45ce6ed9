import { percentile } from '../report/statistics.ts'
import type { Measured, Times } from './jobs.ts'
import type { Answer, User } from './user.ts'

/** Users are one turn at a time, as fast as they are answered. */
export type Work = (user: User, index: number) => Promise<Answer>

/** A server that answers nothing right would otherwise be asked for as long as the measurement takes. */
const MOST_ERRORS = 200
const AFTER_ERROR_MS = 5

/**
 * Lets every user work for `ms` milliseconds, once at least. What ends later than that is waited for and does not count. Errors are
 * counted and do not end it.
 */
export async function drive(users: readonly User[], ms: number, work: Work): Promise<Measured> {
  const totals: number[] = []
  const firsts: number[] = []
  const failures: Error[] = []
  let finished = 0
  const startedAt = performance.now()
  const endsAt = startedAt + ms
  let lastAt = startedAt

  async function run(user: User, index: number): Promise<void> {
    do {
      try {
        const { firstMs, totalMs } = await work(user, index)
        const now = performance.now()
        finished++
        if (now > endsAt && totals.length > 0) return
        lastAt = now
        totals.push(totalMs)
        if (!Number.isNaN(firstMs)) firsts.push(firstMs)
      } catch (error) {
        failures.push(error as Error)
        await new Promise((resolve) => setTimeout(resolve, AFTER_ERROR_MS))
      }
    } while (performance.now() < endsAt && failures.length < MOST_ERRORS)
  }

  await Promise.all(users.map(run))
  // One slow answer may come after the end: then the time is what it took.
  const seconds = (Math.max(endsAt, lastAt) - startedAt) / 1_000
  return { ...summarize({ totals, firsts, failures, seconds }), finished }
}

export function summarize(found: {
  totals: readonly number[]
  firsts: readonly number[]
  failures: readonly Error[]
  seconds: number
}): Measured {
  const { totals, firsts, failures, seconds } = found
  return {
    count: totals.length,
    finished: totals.length,
    seconds,
    perSecond: totals.length / seconds,
    errors: failures.length,
    firstError: failures[0]?.message ?? null,
    total: timesOf(totals),
    first: firsts.length === 0 ? null : timesOf(firsts),
  }
}

function timesOf(values: readonly number[]): Times {
  return { p50: percentile(values, 0.5), p99: percentile(values, 0.99), max: percentile(values, 1) }
}

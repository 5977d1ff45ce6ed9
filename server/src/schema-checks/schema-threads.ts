import { createHash } from 'node:crypto'
import { AppError } from '../errors.ts'
import { createFairLine, type Path } from '../lib/fairness/fair-line.ts'
import { createGuardedThread, type GuardedOutcome } from './guarded-thread.ts'
import type { SchemaJob } from './schema-thread.ts'

/** Milliseconds that one job may take; one that takes a quarter of it is slow. */
const TIME_LIMIT_MS = 2_000
/** Milliseconds for which a schema that had to be stopped is refused, and for which its key counts as slow. */
const REMEMBERED_MS = 60_000
const MOST_REMEMBERED = 1_000
/** Milliseconds without a job after which a thread ends. */
const IDLE_MS = 60_000
/** Jobs that may wait: those of one call of a thousand inputs, and of some others. */
const MOST_WAITING = 4_000
/** So many keys of an organization were slow within a minute that all of it counts as slow. */
const MOST_SLOW_KEYS = 4

/** `now` is milliseconds on a clock that only grows. */
export type SchemaThreadOptions = { now: () => number; timeLimitMs?: number }

/**
 * Runs jobs in threads that are killed when one takes too long or too much memory.
 *
 * There are two. Organizations take turns, and in each of them its keys, of which each has one job at a time. A key that was
 * slow within the last minute is served by the first thread only, so that what is quick never waits for more than the first
 * slow job of somebody. New keys do not help: when several of an organization were slow, all of them are taken for it.
 */
export function createSchemaThreads({ now, timeLimitMs = TIME_LIMIT_MS }: SchemaThreadOptions) {
  const threads = [0, 1].map((number) => ({
    isForSlow: number === 0,
    isBusy: false,
    ...createGuardedThread({ timeLimitMs, idleMs: IDLE_MS }),
  }))
  const line = createFairLine<Waiting>({ most: MOST_WAITING })
  const served = new Set<string>()
  const slow = createMemory(now)
  const stopped = createMemory(now)
  let isClosed = false

  function run(path: Path, job: SchemaJob): Promise<GuardedOutcome> {
    const at = job.schemas.findIndex((text) => stopped.has(schemaOf(path, text)))
    if (at >= 0) return Promise.resolve({ stopped: true, at })
    if (isClosed) return Promise.reject(unavailable('the server is stopping'))
    return new Promise((resolve, reject) => {
      line.add(path, { job, resolve, reject })?.reject(unavailable('too many schemas wait to be checked'))
      serve()
    })
  }

  function serve(): void {
    // One that runs already is there at once.
    const free = threads.filter(({ isBusy }) => !isBusy).sort((a, b) => Number(b.isRunning()) - Number(a.isRunning()))
    for (const thread of free) {
      const next = line.take((path) => !served.has(nameOf(path)) && (thread.isForSlow || !slow.has(nameOf(path))))
      if (next) void work(thread, next.path, next.one)
    }
  }

  function markAsSlow(path: Path): void {
    slow.add(nameOf(path))
    const [organizationId = ''] = path
    if (slow.count((name) => name.startsWith(`${organizationId} `)) >= MOST_SLOW_KEYS) slow.add(organizationId)
  }

  async function work(thread: (typeof threads)[number], path: Path, { job, resolve, reject }: Waiting) {
    thread.isBusy = true
    served.add(nameOf(path))
    const from = now()
    try {
      const outcome = await thread.run(job)
      if (now() - from > timeLimitMs / 4) markAsSlow(path)
      if ('stopped' in outcome) {
        if (isClosed) throw new Error('killed')
        markAsSlow(path)
        stopped.add(schemaOf(path, job.schemas[outcome.at] ?? ''))
      }
      resolve(outcome)
    } catch (cause) {
      reject(unavailable('schemas cannot be checked at the moment', cause))
    } finally {
      thread.isBusy = false
      served.delete(nameOf(path))
      serve()
    }
  }

  return {
    /** Throws 503 when too many jobs wait, and when the threads are closed or cannot begin. */
    run,

    /** Kills the threads. What waits fails. */
    close(): void {
      isClosed = true
      for (const { reject } of line.takeAll()) reject(unavailable('the server is stopping'))
      for (const thread of threads) thread.end()
    },
  }
}

type Waiting = { job: SchemaJob; resolve: (outcome: GuardedOutcome) => void; reject: (error: Error) => void }

function unavailable(message: string, cause?: unknown): AppError {
  return new AppError('unavailable', message, { cause, retryAfterMs: 1_000 })
}

function nameOf(path: Path): string {
  return path.join(' ')
}

function schemaOf(path: Path, schema: string): string {
  return `${nameOf(path)} ${createHash('sha256').update(schema).digest('base64')}`
}

/** Keys for a minute; the oldest go first. */
function createMemory(now: () => number) {
  const until = new Map<string, number>()
  return {
    add(key: string): void {
      until.delete(key)
      until.set(key, now() + REMEMBERED_MS)
      for (const oldest of until.keys()) {
        if (until.size <= MOST_REMEMBERED) break
        until.delete(oldest)
      }
    },
    has: (key: string): boolean => (until.get(key) ?? 0) > now(),
    count: (matches: (key: string) => boolean): number =>
      [...until].filter(([key, end]) => matches(key) && end > now()).length,
  }
}

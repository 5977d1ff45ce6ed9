import type { Path } from '../../lib/fairness/fair-line.ts'
import { createFairQueue, QueueFullError } from '../../lib/fairness/fair-queue.ts'

/** Milliseconds for one turn before any has been measured. */
const FIRST_GUESS_MS = 5_000

/** What a caller is told to wait, at least and at most. */
const LEAST_WAIT_MS = 1_000
const LONGEST_WAIT_MS = 60_000

/** Nobody else may wait, or somebody who waits less has come; `waitMs` is a guess at when it makes sense to come back. */
export class CallQueueFullError extends Error {
  readonly waitMs: number

  constructor(waitMs: number) {
    super('the queue is full')
    this.name = 'CallQueueFullError'
    this.waitMs = waitMs
  }
}

export type CallQueue = {
  /**
   * Resolves when it is one's turn, with the function that ends it. Rejects with a {@link CallQueueFullError}, or with the
   * signal's reason while waiting.
   */
  enter(path: Path, signal: AbortSignal): Promise<() => void>
  isIdle(): boolean
}

/** One at a time, organizations and keys in turn; up to `most` wait. `now` is in milliseconds that only grow. */
export function createCallQueue({ most, now }: { most: number; now: () => number }): CallQueue {
  const queue = createFairQueue({ atOnce: 1, most })
  let usualMs = FIRST_GUESS_MS

  function full(waiting: number): CallQueueFullError {
    const waitMs = usualMs * (waiting + 1)
    return new CallQueueFullError(Math.ceil(Math.min(Math.max(waitMs, LEAST_WAIT_MS), LONGEST_WAIT_MS)))
  }

  async function enter(path: Path, signal: AbortSignal): Promise<() => void> {
    const leave = await queue.enter(path, signal).catch((error: unknown) => {
      throw error instanceof QueueFullError ? full(error.waiting) : error
    })
    const begunAt = now()
    let isOver = false
    return () => {
      if (isOver) return
      isOver = true
      // Half of it is the last one: prompts and replies of one server resemble each other.
      usualMs = (usualMs + now() - begunAt) / 2
      leave()
    }
  }

  return { enter, isIdle: () => queue.count().atWork === 0 }
}

import type { Path } from './fair-line.ts'
import { createFairQueue } from './fair-queue.ts'
import { letOthersRun } from './let-others-run.ts'

/** Milliseconds of work after which others have their turn. */
const MOST_AT_ONCE_MS = 5
/** Turns of the event loop that they have: a small request takes some from its first byte to its answer. */
const TURNS_OF_OTHERS = 4
const MOST_WAITING = 10_000

export type MainThread = {
  /** Resolves when it is one's turn, with the function that ends it. Rejects as `FairQueue.enter` does. */
  enter(path: Path, signal?: AbortSignal): Promise<() => void>
  /** Does a piece of work when it is its turn. */
  run<T>(path: Path, work: () => T): Promise<T>
}

/**
 * Work of milliseconds that can be done on the main thread only, such as reading a large body: one piece at a time, fair by
 * their paths, and after some milliseconds of it the event loop has its turn. A hundred pieces that each let others run
 * before they begin would all begin in the same turn of the loop.
 */
export function createMainThread(): MainThread {
  const queue = createFairQueue({ atOnce: 1, most: MOST_WAITING })
  let spentMs = 0

  async function enter(path: Path, signal?: AbortSignal): Promise<() => void> {
    const leave = await queue.enter(path, signal)
    if (spentMs >= MOST_AT_ONCE_MS) {
      for (let n = 0; n < TURNS_OF_OTHERS; n++) await letOthersRun()
      spentMs = 0
    }
    const from = performance.now()
    return () => {
      spentMs += performance.now() - from
      leave()
    }
  }

  return {
    enter,
    async run(path, work) {
      const leave = await enter(path)
      try {
        return work()
      } finally {
        leave()
      }
    },
  }
}

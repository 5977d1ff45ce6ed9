import type { Path } from './fair-line.ts'
import { createFairQueue, QueueFullError } from './fair-queue.ts'

/** Work that nobody waits for. */
export type Background = {
  /**
   * Does `job` as soon as it is the turn of `path`, for whom it is done. False when one with this name is there already,
   * or it is over: then the job is not done. Nor is one that finds too many waiting, or has to make room.
   */
  add(path: Path, name: string, job: (signal: AbortSignal) => Promise<void>): boolean
  /** Aborts what is under way, forgets what waits, and resolves when nothing runs any more. */
  stop(): Promise<void>
}

/**
 * At most `atOnce` jobs at a time, `atOnceEach` of one organization and of one key, and `most` that wait. Organizations and
 * their keys take turns. What a job throws goes to `onError`; `onDropped` hears of those that are not done.
 */
export function createBackground(options: {
  atOnce: number
  atOnceEach: readonly number[]
  most: number
  onError(error: unknown, name: string): void
  onDropped?(name: string): void
}): Background {
  const { onError, onDropped = () => {} } = options
  const queue = createFairQueue(options)
  const abort = new AbortController()
  const names = new Set<string>()
  const underWay = new Set<Promise<void>>()

  async function perform(path: Path, name: string, job: (signal: AbortSignal) => Promise<void>): Promise<void> {
    try {
      const leave = await queue.enter(path, abort.signal)
      await job(abort.signal).finally(leave)
    } catch (error) {
      if (error instanceof QueueFullError) onDropped(name)
      else if (error !== abort.signal.reason) onError(error, name)
    }
  }

  return {
    add(path, name, job) {
      if (abort.signal.aborted || names.has(name)) return false
      names.add(name)
      const done = perform(path, name, job).finally(() => {
        names.delete(name)
        underWay.delete(done)
      })
      underWay.add(done)
      return true
    },
    async stop() {
      abort.abort()
      await Promise.all(underWay)
    },
  }
}

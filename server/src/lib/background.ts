/** Work that nobody waits for. */
export type Background = {
  /**
   * Does `job` as soon as there is room. False when one with this name is there already, too many wait, or it is over:
   * then the job is not done.
   */
  add(name: string, job: (signal: AbortSignal) => Promise<void>): boolean
  /** Aborts what is under way, forgets what waits, and resolves when nothing runs any more. */
  stop(): Promise<void>
}

/** At most `atOnce` jobs at a time and `most` that wait, in their order. What a job throws goes to `onError`. */
export function createBackground(options: {
  atOnce: number
  most: number
  onError(error: unknown, name: string): void
}): Background {
  const { atOnce, most, onError } = options
  const abort = new AbortController()
  const names = new Set<string>()
  const waiting: (() => Promise<void>)[] = []
  const underWay = new Set<Promise<void>>()

  function next(): void {
    while (underWay.size < atOnce) {
      const begin = waiting.shift()
      if (!begin) return
      const running = begin().finally(() => {
        underWay.delete(running)
        next()
      })
      underWay.add(running)
    }
  }

  return {
    add(name, job) {
      if (abort.signal.aborted || names.has(name) || waiting.length >= most) return false
      names.add(name)
      waiting.push(async () => {
        try {
          await job(abort.signal)
        } catch (error) {
          onError(error, name)
        } finally {
          names.delete(name)
        }
      })
      next()
      return true
    },
    async stop() {
      abort.abort()
      waiting.length = 0
      await Promise.all(underWay)
    },
  }
}

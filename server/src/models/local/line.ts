/** Milliseconds for one turn before any has been measured. */
const FIRST_GUESS_MS = 5_000

/** What a caller is told to wait, at least and at most. */
const LEAST_WAIT_MS = 1_000
const LONGEST_WAIT_MS = 60_000

/** Nobody else may wait; `waitMs` is a guess at when it makes sense to come back. */
export class LineFullError extends Error {
  readonly waitMs: number

  constructor(waitMs: number) {
    super('the line is full')
    this.name = 'LineFullError'
    this.waitMs = waitMs
  }
}

export type Line = {
  /**
   * Resolves when it is one's turn, with the function that ends it. Rejects with a {@link LineFullError} at once, or with
   * the signal's reason while waiting.
   */
  enter(signal: AbortSignal): Promise<() => void>
  isIdle(): boolean
}

/** One at a time, in the order in which they came; up to `most` wait. `now` is in milliseconds that only grow. */
export function createLine({ most, now }: { most: number; now: () => number }): Line {
  const waiting: (() => void)[] = []
  let isTaken = false
  let usualMs = FIRST_GUESS_MS

  function begin(): () => void {
    isTaken = true
    const begunAt = now()
    let isOver = false
    return () => {
      if (isOver) return
      isOver = true
      // Half of it is the last one: prompts and replies of one server resemble each other.
      usualMs = (usualMs + now() - begunAt) / 2
      isTaken = false
      waiting.shift()?.()
    }
  }

  async function enter(signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted()
    if (!isTaken) return begin()
    if (waiting.length >= most) {
      const waitMs = usualMs * (waiting.length + 1)
      throw new LineFullError(Math.ceil(Math.min(Math.max(waitMs, LEAST_WAIT_MS), LONGEST_WAIT_MS)))
    }
    const { promise, resolve, reject } = Promise.withResolvers<() => void>()
    const take = () => {
      signal.removeEventListener('abort', leave)
      resolve(begin())
    }
    const leave = () => {
      waiting.splice(waiting.indexOf(take), 1)
      reject(signal.reason)
    }
    signal.addEventListener('abort', leave, { once: true })
    waiting.push(take)
    return promise
  }

  return { enter, isIdle: () => !isTaken }
}

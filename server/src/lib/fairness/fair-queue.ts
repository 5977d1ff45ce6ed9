import { createFairLine, type Path } from './fair-line.ts'

/** Nobody else may wait, or somebody who waits less has come. `waiting` is how many are in front. */
export class QueueFullError extends Error {
  readonly waiting: number

  constructor(waiting: number) {
    super('the queue is full')
    this.name = 'QueueFullError'
    this.waiting = waiting
  }
}

export type FairQueue = {
  /**
   * Resolves when it is one's turn, with the function that ends it. Rejects with a {@link QueueFullError} at once or
   * later, or with the signal's reason while waiting.
   */
  enter(path: Path, signal?: AbortSignal): Promise<() => void>
  /** How many are at it, and how many wait. */
  count(): { atWork: number; waiting: number }
}

type Waiter = { begin(): void; refuse(): void }

/**
 * Lets `atOnce` work at the same time and `most` wait, in a line that is fair by their paths ({@link createFairLine}).
 * `atOnceEach` says how many of one first step may be at work, how many of one second step, and so on, so that what takes
 * long does not take every place.
 */
export function createFairQueue(options: { atOnce: number; most: number; atOnceEach?: readonly number[] }): FairQueue {
  const { atOnce, most, atOnceEach = [] } = options
  const line = createFairLine<Waiter>({ most })
  const atWorkOf = new Map<string, number>()
  let atWork = 0

  const mayWork = (path: Path) => (atWorkOf.get(nameOf(path)) ?? 0) < (atOnceEach[path.length - 1] ?? atOnce)
  /** The beginnings of a path that have a bound of their own. */
  const boundedOf = (path: Path) => atOnceEach.slice(0, path.length).map((_bound, n) => path.slice(0, n + 1))

  function change(bounded: readonly Path[], by: 1 | -1): void {
    atWork += by
    for (const name of bounded.map(nameOf)) {
      const after = (atWorkOf.get(name) ?? 0) + by
      if (after === 0) atWorkOf.delete(name)
      else atWorkOf.set(name, after)
    }
  }

  function begin(path: Path): () => void {
    const bounded = boundedOf(path)
    let isOver = false
    change(bounded, 1)
    return () => {
      if (isOver) return
      isOver = true
      change(bounded, -1)
      letIn()
    }
  }

  function letIn(): void {
    while (atWork < atOnce) {
      const next = line.take(mayWork)
      if (!next) return
      next.one.begin()
    }
  }

  return {
    async enter(path, signal) {
      signal?.throwIfAborted()
      if (atWork < atOnce && boundedOf(path).every(mayWork)) return begin(path)
      const { promise, resolve, reject } = Promise.withResolvers<() => void>()
      const forget = () => signal?.removeEventListener('abort', leave)
      const waiter: Waiter = {
        begin() {
          forget()
          resolve(begin(path))
        },
        refuse() {
          forget()
          reject(new QueueFullError(line.count()))
        },
      }
      const leave = () => {
        forget()
        line.remove(path, waiter)
        reject(signal?.reason)
      }
      signal?.addEventListener('abort', leave, { once: true })
      const gone = line.add(path, waiter)
      if (gone === waiter) {
        forget()
        throw new QueueFullError(line.count())
      }
      gone?.refuse()
      return promise
    },

    count: () => ({ atWork, waiting: line.count() }),
  }
}

/** Two paths have one name only if they are the same: a step has no NUL. */
function nameOf(path: Path): string {
  return path.join('\0')
}

import { setTimeout as wait } from 'node:timers/promises'

export type PacedOptions = {
  /** The part of the time that the task may cost in the long run. */
  share: number
  /** Milliseconds that it may cost at once, after a rest. */
  burstMs: number
  /** Milliseconds that only ever grow. */
  now?: () => number
  sleep?: (ms: number, signal?: AbortSignal) => Promise<void>
}

/**
 * A task that costs others something, done once for all who ask before it begins, and never so often that it costs more
 * than a share of the time: then they wait, until the signal of the first of them, with which all are rejected. `task` says
 * what it has cost, in milliseconds.
 */
export function createPaced<Wish>(
  task: (wishes: ReadonlySet<Wish>) => Promise<number>,
  { share, burstMs, now = () => performance.now(), sleep = rest }: PacedOptions,
): (wishes: Iterable<Wish>, signal?: AbortSignal) => Promise<void> {
  let left = burstMs
  let at = now()
  let current: Promise<void> = Promise.resolve()
  let next: { done: Promise<void>; wishes: Set<Wish> } | null = null

  function refill(): void {
    left = Math.min(burstMs, left + (now() - at) * share)
    at = now()
  }

  async function begin(wishes: Set<Wish>, signal?: AbortSignal): Promise<void> {
    await current.catch(() => {})
    refill()
    try {
      if (left <= 0) await sleep((1 - left) / share, signal)
    } finally {
      current = next?.done ?? current
      next = null
    }
    refill()
    const cost = await task(wishes)
    refill()
    left -= cost
  }

  return (wishes, signal) => {
    if (next === null) {
      const wanted = new Set<Wish>()
      next = { wishes: wanted, done: begin(wanted, signal) }
    }
    for (const wish of wishes) next.wishes.add(wish)
    return next.done
  }
}

/** Does not keep the process alive. */
async function rest(ms: number, signal?: AbortSignal): Promise<void> {
  await wait(ms, undefined, { ref: false, ...(signal && { signal }) })
}

import { constants, PerformanceObserver } from 'node:perf_hooks'
import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8'

/** Bytes of both halves: new objects are made in one, and those still in use are copied to the other. */
export const SMALL = 8 * 1024 * 1024
export const LARGE = 32 * 1024 * 1024

/** Milliseconds that one half should last: then copying costs about a hundredth of the time. */
const LASTS_MS = 100
/** Milliseconds over which it is looked at how much comes: opening many streams is over by then. */
const LOOK_MS = 2_000

/** A collection of the young generation: milliseconds on a clock that only grows, and how large the generation is, in bytes. */
export type Collection = { at: number; size: number }

/** Says after each collection how large the young generation may become, in bytes. */
export function createYoungLimit(): (collection: Collection) => number {
  let since = 0
  let bytes = 0
  let limit = SMALL
  return ({ at, size }) => {
    bytes += size / 2
    const ms = at - since
    if (ms < LOOK_MS) return limit
    const lasting = (2 * bytes * LASTS_MS) / ms
    limit = Math.min(Math.max(lasting, SMALL), LARGE)
    since = at
    bytes = 0
    return limit
  }
}

/**
 * Keeps the young generation of this thread small from now on, as well as can be done between two ticks of the event loop. V8
 * lets it grow to 128 MB once enough of what is new survives, which the opening of 500 streams does; a server under full load
 * is as fast with 32. Gives back how to stop.
 */
export function limitYoungGeneration(): () => void {
  const limitAfter = createYoungLimit()
  let mayGrow = true

  function allowGrowth(isAllowed: boolean): void {
    if (isAllowed === mayGrow) return
    mayGrow = isAllowed
    // Of the flags for this the one that V8 looks at again after the start: the factor of each growth.
    setFlagsFromString(`--semi-space-growth-factor=${isAllowed ? 2 : 1}`)
  }

  const observer = new PerformanceObserver((list) => {
    const size = youngSize()
    for (const { startTime, detail } of list.getEntries() as unknown as Entry[]) {
      if (detail.kind !== constants.NODE_PERFORMANCE_GC_MINOR) continue
      allowGrowth(2 * size <= limitAfter({ at: startTime, size }))
    }
  })
  observer.observe({ entryTypes: ['gc'] })
  allowGrowth(2 * youngSize() <= SMALL)
  return () => {
    observer.disconnect()
    allowGrowth(true)
  }
}

/** Whether somebody has said how large the young generation is to be, on the command line or in the environment. */
export function isYoungSizeStated(options: readonly string[]): boolean {
  return options.some((option) => /semi[-_]space/.test(option))
}

type Entry = { startTime: number; detail: { kind: number } }

/** Bytes that the young generation of this thread has, used or not. */
export function youngSize(): number {
  return getHeapSpaceStatistics().find(({ space_name: name }) => name === 'new_space')?.space_size ?? 0
}

/** Milliseconds of CPU that this thread has had. */
const cpuMs = (): number => {
  const { user, system } = process.threadCpuUsage()
  return (user + system) / 1_000
}

export type Stall = {
  /** The longest time for which the event loop did one thing after another without coming round. */
  ms: number
  /** The same in calibrating loops. */
  loops: number
}

/**
 * Finds the longest stall of the event loop while `act` is under way. Time is that which this thread has had of a CPU, so
 * waiting for one counts for nothing, and it is compared with a fixed piece of work of before and after: on a machine
 * that is slow or busy both take longer.
 */
export async function longestStall(act: () => Promise<void>): Promise<Stall> {
  const before = calibrate()
  let isOver = false
  let longest = 0
  let last = cpuMs()
  const watch = () => {
    const now = cpuMs()
    longest = Math.max(longest, now - last)
    last = now
    if (!isOver) setImmediate(watch)
  }
  setImmediate(watch)
  try {
    await act()
  } finally {
    isOver = true
  }
  return { ms: longest, loops: longest / Math.max(before, calibrate()) }
}

const SAMPLE = Array.from({ length: 60 }, (_, i) => ({
  id: i,
  text: 'So it goes, "quoted"\n'.repeat(40),
  more: [i, null],
}))

/** Milliseconds of CPU for the fixed piece of work: 10 on the machine on which the limits were set. */
function calibrate(): number {
  const start = cpuMs()
  let sum = 0
  for (let i = 0; i < 60; i++) sum += JSON.stringify(JSON.parse(JSON.stringify(SAMPLE))).length
  if (sum === 0) throw new Error('nothing was done')
  return cpuMs() - start
}

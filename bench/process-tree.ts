import { readdirSync, readFileSync } from 'node:fs'

/** What a process and all it has started use, as Linux counts it. */
export type TreeUse = {
  /** Milliseconds of processor time, children that have ended included. */
  cpuMs: number
  /** Resident memory, added up, in MiB. */
  rssMiB: number
}

/** Ticks are a hundredth of a second on every Linux that Node.js runs on. */
const MS_PER_TICK = 10
const MIB = 1024 * 1024
const PAGE_BYTES = 4_096

type Stat = { parent: number; ticks: number; pages: number }

/** Throws where there is no /proc. A process that has ended uses nothing. */
export function useOfTree(pid: number): TreeUse {
  const stats = new Map<number, Stat>()
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue
    const stat = readStat(Number(name))
    if (stat !== null) stats.set(Number(name), stat)
  }
  const tree = new Set([pid])
  // Children have been started after their parents, but their numbers may have begun again.
  for (const found of tree) {
    for (const [child, { parent }] of stats) if (parent === found) tree.add(child)
  }
  let ticks = 0
  let pages = 0
  for (const one of tree) {
    ticks += stats.get(one)?.ticks ?? 0
    pages += stats.get(one)?.pages ?? 0
  }
  return { cpuMs: ticks * MS_PER_TICK, rssMiB: (pages * PAGE_BYTES) / MIB }
}

/** https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html */
function readStat(pid: number): Stat | null {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // The name of the program may hold anything, a parenthesis included.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
    const field = (n: number) => Number(fields[n - 3])
    return { parent: field(4), ticks: field(14) + field(15) + field(16) + field(17), pages: field(24) }
  } catch {
    return null
  }
}

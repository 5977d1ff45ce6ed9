import type { Measured } from '../load/jobs.ts'
import { type LoadProcess, startLoad } from '../load-process.ts'
import { useOfTree } from '../process-tree.ts'
import type { Running } from '../servers/server.ts'
import { CONCURRENCY, type Complain, type Facts, type Times } from './facts.ts'

const CREATORS = 16
/** While so many users are served, fresh connections are tried as well. */
const PROBED_AT = 64
const PROBE_EVERY_MS = 20

/** Conversations made a second. */
export async function measureCreate(load: LoadProcess, times: Times, complain: Complain): Promise<Facts> {
  const measured = await load.do({ kind: 'create', users: CREATORS, warmMs: times.warmMs, ms: times.ms })
  check('create', measured, complain)
  return { 'create.perSecond': measured.perSecond, 'create.p99': measured.total.p99 }
}

/** Turns a second, their times and what they cost, with few users and with many. */
export async function measureTurns(
  load: LoadProcess,
  server: Running,
  times: Times,
  complain: Complain,
): Promise<Facts> {
  const facts: Facts = {}
  for (const users of CONCURRENCY) {
    let before = useOf(server)
    let probing: Promise<Measured> | null = null
    const onMeasuring = () => {
      before = useOf(server)
      if (users === PROBED_AT) probing = probe(server, times.ms - PROBE_EVERY_MS * 2)
    }
    const job = { kind: 'turns', users, warmMs: times.warmMs, ms: times.ms } as const
    const measured = await load.do(job, { onMeasuring })
    const after = useOf(server)
    const name = `turns.${users}`
    check(name, measured, complain)
    facts[`${name}.perSecond`] = measured.perSecond
    facts[`${name}.cpuMs`] = (after.server - before.server) / measured.count
    if (server.databasePid !== undefined) {
      facts[`${name}.databaseCpuMs`] = (after.database - before.database) / measured.count
    }
    facts[`${name}.p50`] = measured.total.p50
    facts[`${name}.p99`] = measured.total.p99
    facts[`${name}.first.p50`] = measured.first?.p50 ?? Number.NaN
    facts[`${name}.first.p99`] = measured.first?.p99 ?? Number.NaN
    const probed = await (probing as Promise<Measured> | null)
    if (probed !== null) {
      check('fresh connections', probed, complain)
      facts['connect.p50'] = probed.total.p50
      facts['connect.p99'] = probed.total.p99
    }
  }
  return facts
}

function useOf({ pid, databasePid }: Running): { server: number; database: number } {
  return { server: useOfTree(pid).cpuMs, database: databasePid === undefined ? 0 : useOfTree(databasePid).cpuMs }
}

/** From another process: the users of the load generator would delay it. */
async function probe({ wire }: Running, ms: number): Promise<Measured> {
  const load = startLoad(wire)
  try {
    return await load.do({ kind: 'probe', everyMs: PROBE_EVERY_MS, ms })
  } finally {
    await load.stop()
  }
}

export function check(what: string, { errors, firstError, count }: Measured, complain: Complain): void {
  if (errors > 0) complain(`${what}: ${errors} of ${errors + count} went wrong: ${firstError}`)
}

import type { Measured } from '../load/jobs.ts'
import { startLoad } from '../load-process.ts'
import { useOfTree } from '../process-tree.ts'
import type { Running } from '../servers/server.ts'
import { CONCURRENCY, type Complain, type Facts, type Stage } from './facts.ts'

const CREATORS = 16
/** While so many users are served, fresh connections are tried as well. */
const PROBED_AT = 64
const PROBE_EVERY_MS = 20

/** Conversations made a second; nothing of a server that has none. */
export async function measureCreate({ load, server, times, complain }: Stage): Promise<Facts> {
  if (server.wire.create === null) return {}
  const measured = await load.do({ kind: 'create', users: CREATORS, warmMs: times.warmMs, ms: times.ms })
  check('create', measured, complain)
  return { 'create.perSecond': measured.perSecond, 'create.p99': measured.total.p99 }
}

/** Turns a second, their times and what they cost, with few users and with many. */
export async function measureTurns({ load, server, times, complain }: Stage): Promise<Facts> {
  const facts: Facts = {}
  for (const users of CONCURRENCY) {
    // From another process: the users of the load generator would delay it. It starts before there is load.
    const prober = users === PROBED_AT ? startLoad(server.wire) : null
    let before = useOf(server)
    let probing: Promise<Measured> | undefined
    const onMeasuring = () => {
      before = useOf(server)
      probing = prober?.do({ kind: 'probe', everyMs: PROBE_EVERY_MS, ms: times.ms - PROBE_EVERY_MS })
    }
    const job = { kind: 'turns', users, warmMs: times.warmMs, ms: times.ms } as const
    const measured = await load.do(job, { onMeasuring })
    Object.assign(facts, factsOf(`turns.${users}`, measured, before, useOf(server)))
    check(`turns at c=${users}`, measured, complain)
    const probed = await probing
    await prober?.stop()
    if (probed !== undefined) {
      check('fresh connections', probed, complain)
      Object.assign(facts, { 'connect.p50': probed.total.p50, 'connect.p99': probed.total.p99 })
    }
  }
  return facts
}

/** Milliseconds of processor time. */
type Use = { server: number; database: number | null }

function useOf({ pid, databasePid }: Running): Use {
  return { server: useOfTree(pid).cpuMs, database: databasePid === undefined ? null : useOfTree(databasePid).cpuMs }
}

function factsOf(name: string, measured: Measured, before: Use, after: Use): Facts {
  const { perSecond, finished, total, first } = measured
  return {
    [`${name}.perSecond`]: perSecond,
    [`${name}.cpuMs`]: (after.server - before.server) / finished,
    ...(after.database !== null && {
      [`${name}.databaseCpuMs`]: (after.database - (before.database ?? 0)) / finished,
    }),
    [`${name}.p50`]: total.p50,
    [`${name}.p99`]: total.p99,
    [`${name}.first.p50`]: first?.p50 ?? Number.NaN,
    [`${name}.first.p99`]: first?.p99 ?? Number.NaN,
  }
}

export function check(what: string, { errors, firstError, count }: Measured, complain: Complain): void {
  if (errors > 0) complain(`${what}: ${errors} of ${errors + count} went wrong: ${firstError}`)
}

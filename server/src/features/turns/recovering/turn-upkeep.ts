import type { Clock } from '../../../lib/clock.ts'
import type { Log } from '../../../lib/log.ts'
import { repeat } from '../../../lib/repeat.ts'
import type { Database } from '../../../storage/database.ts'
import type { TurnContexts } from '../context/turn-contexts.ts'
import { renewTurns, selectStopRequests } from '../run/hold-queries.ts'
import { renewPlaces } from '../run/line-queries.ts'
import type { StopReason } from '../run/run.ts'
import type { TurnRunner } from '../running/turn-runner.ts'
import type { Recovery } from './recovery.ts'

/** Milliseconds between looks for what other nodes want stopped. */
const STOP_POLL_MS = 100
/** Milliseconds between looks for conversations that nobody has gone on with. */
const FORGET_EVERY_MS = 60_000

/**
 * What has to happen while turns are under way: their leases are renewed, abandoned turns are taken care of, runs that
 * another node wants to stop are stopped, and conversations that are over are forgotten. Gives back how to end it.
 */
export function lookAfterTurns(deps: {
  database: Database
  clock: Clock
  runner: Pick<TurnRunner, 'count' | 'stop'>
  recovery: Recovery
  contexts: Pick<TurnContexts, 'forgetOldest'>
  nodeId: string
  leaseMs: number
  isAlone: boolean
  log: Log
}): { stopSweeping(): Promise<void>; stop(): Promise<void> } {
  const { database, clock, runner, recovery, contexts, nodeId, leaseMs, isAlone, log } = deps

  async function renew(): Promise<void> {
    if (runner.count() === 0) return
    const mine = { nodeId, expiresAt: clock() + leaseMs }
    await database.write([renewTurns(database, mine), renewPlaces(database, mine)])
  }

  async function sweep(): Promise<void> {
    const swept = await recovery.sweep()
    if (swept.ended + swept.restarted > 0) log.warn(swept, 'took care of runs that their server had left')
  }

  async function obey(): Promise<void> {
    if (runner.count() === 0) return
    for (const { run_id, stop_requested } of await selectStopRequests(database, { nodeId })) {
      void runner.stop(run_id, { reason: stop_requested as StopReason })
    }
  }

  const warn = (error: unknown) => log.warn({ err: error }, 'the upkeep of turns failed; it will be tried again')
  const sweeping = repeat(sweep, leaseMs / 2, warn)
  const forget = async () => contexts.forgetOldest()
  const tasks = [repeat(renew, leaseMs / 3, warn), sweeping, repeat(forget, FORGET_EVERY_MS, warn)]
  if (!isAlone) tasks.push(repeat(obey, STOP_POLL_MS, warn))

  return {
    /** A server that stops must not take over what it has no time for. */
    stopSweeping: () => sweeping.stop(),
    async stop() {
      await Promise.all(tasks.map((task) => task.stop()))
    },
  }
}

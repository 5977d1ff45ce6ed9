import { setTimeout as wait } from 'node:timers/promises'
import { startLoad } from '../load-process.ts'
import { useOfTree } from '../process-tree.ts'
import type { ProviderProcess } from '../provider-process.ts'
import { median } from '../report/statistics.ts'
import type { Running } from '../servers/server.ts'
import { takeFirstTurn } from '../servers/start-process.ts'
import type { Complain, Facts, Times } from './facts.ts'
import { check } from './throughput.ts'

const STREAMS = [500, 2_000]
const TOKEN_MS = 400
/** Tokens that each stream has had when memory is looked at: what opening it cost is over. */
const TOKENS_BEFORE = 3
const SAMPLES = 3
const AFTER_TURN_MS = 500
const SAMPLE_EVERY_MS = 100

/** Memory of a server that has just started and of one that has answered once. */
export async function measureIdle({ pid, wire }: Running, times: Times): Promise<Facts> {
  await wait(times.settleMs)
  const idle = await residentMiB(pid)
  await takeFirstTurn(wire)
  await wait(AFTER_TURN_MS)
  return { 'start.idleMiB': idle, 'start.usedMiB': await residentMiB(pid) }
}

/** What each open stream adds. The streams are still open afterwards: the server is of no more use. */
export async function measureStreams(
  { pid, wire }: Running,
  provider: ProviderProcess,
  complain: Complain,
): Promise<Facts> {
  const facts: Facts = {}
  provider.pace(TOKEN_MS)
  const load = startLoad(wire)
  try {
    const before = await residentMiB(pid)
    for (const count of STREAMS) {
      const opened = await load.do({ kind: 'streams', count, marks: TOKENS_BEFORE })
      check(`${count} streams`, opened, complain)
      // A server that is slow to open them has ended the first ones by then.
      if (opened.errors > 0 || opened.count < count / 2) break
      facts[`streams.${count}.miB`] = ((await residentMiB(pid)) - before) / opened.count
    }
  } finally {
    await load.stop()
    provider.pace(0)
  }
  return facts
}

async function residentMiB(pid: number): Promise<number> {
  const samples: number[] = []
  while (samples.length < SAMPLES) {
    samples.push(useOfTree(pid).rssMiB)
    await wait(SAMPLE_EVERY_MS)
  }
  return median(samples)
}

import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { startLoad } from './load-process.ts'
import type { Scenario } from './options.ts'
import type { ProviderProcess } from './provider-process.ts'
import type { Complain, Facts, Times } from './scenarios/facts.ts'
import { measureHistory } from './scenarios/history.ts'
import { measureIdle, measureStreams } from './scenarios/memory.ts'
import { measureCreate, measureTurns } from './scenarios/throughput.ts'
import type { Place, Server } from './servers/server.ts'

export type Plan = {
  only: readonly Scenario[]
  times: Times
  provider: ProviderProcess
  /** Where servers may have folders. */
  directory: string
  /** Where CPU profiles go, or null. */
  profile: string | null
  complain: Complain
}

/** Everything of one server in one repetition. Throws when it cannot be started. */
export async function measureServer(server: Server, plan: Plan): Promise<Facts> {
  const { only } = plan
  const facts: Facts = {}
  if (only.some((scenario) => scenario !== 'streams')) {
    await onNewPlace(server, plan, async (place) => Object.assign(facts, await underLoad(server, place, plan)))
  }
  // Elsewhere: what load has left behind would be looked after while the memory of a server with nothing to do is measured.
  if (only.includes('start') || only.includes('streams')) {
    await onNewPlace(server, plan, async (place) => Object.assign(facts, await inMemory(place, plan)))
  }
  return facts
}

async function onNewPlace(server: Server, plan: Plan, measure: (place: Place) => Promise<unknown>): Promise<void> {
  const directory = mkdtempSync(join(plan.directory, `${server.name}-`))
  const place = await server.prepare({ providerUrl: plan.provider.url, directory })
  try {
    if (plan.only.includes('start')) await startOnce(place)
    await measure(place)
  } finally {
    plan.provider.pace(0)
    await place.remove()
    rmSync(directory, { recursive: true, force: true })
  }
}

/** So that the starts that are measured find what a server finds that has run before: a database and compiled code. */
async function startOnce(place: Place): Promise<void> {
  const first = await place.start({ until: 'first turn' })
  await first.stop()
}

async function underLoad(
  server: Server,
  place: Place,
  { only, times, provider, profile, complain }: Plan,
): Promise<Facts> {
  const nodeArguments = profile === null ? [] : profileArguments(join(profile, server.name))
  const running = await place.start({ until: 'first turn', nodeArguments })
  const load = startLoad(running.wire)
  // Without that scenario it was the very first start.
  const facts: Facts = only.includes('start') ? { 'start.firstTurnMs': running.startMs } : {}
  const measure = { create: measureCreate, turns: measureTurns, history: measureHistory }
  try {
    for (const scenario of ['create', 'turns', 'history'] as const) {
      if (!only.includes(scenario)) continue
      try {
        Object.assign(facts, await measure[scenario]({ load, server: running, provider, times, complain }))
      } catch (error) {
        // The rest may still be of use.
        complain(`${scenario}: ${(error as Error).message}`)
      }
    }
    return facts
  } finally {
    await load.stop()
    await running.stop()
  }
}

function profileArguments(directory: string): string[] {
  mkdirSync(directory, { recursive: true })
  return ['--cpu-prof', '--cpu-prof-dir', directory]
}

async function inMemory(place: Place, { only, times, provider, complain }: Plan): Promise<Facts> {
  const running = await place.start({ until: 'ready' })
  try {
    const facts = await measureIdle(running, times)
    if (only.includes('streams')) Object.assign(facts, await measureStreams(running, provider, complain))
    return facts
  } finally {
    await running.stop('SIGKILL')
  }
}

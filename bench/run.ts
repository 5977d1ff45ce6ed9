import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { measureServer } from './measure.ts'
import { type Options, readOptions, USAGE } from './options.ts'
import { startProvider } from './provider-process.ts'
import { writeResults } from './report/bench-section.ts'
import { goalRows } from './report/goals.ts'
import { describeMachine } from './report/machine.ts'
import type { MeasuredServer, Repetition, Results } from './report/results.ts'
import { details, plainTable } from './report/tables.ts'
import { measureCeilings, measureDirect } from './scenarios/direct.ts'
import { type Facts, QUICK_TIMES, USUAL_TIMES } from './scenarios/facts.ts'
import { allServers } from './servers/all.ts'
import type { Server } from './servers/server.ts'

/** The benchmark: `node bench/run.ts --help` says what can be asked of it. */

const RESULTS = join(import.meta.dirname, '../node_modules/.cache/dramatis-bench')
const options = readOptions(process.argv.slice(2))
if (options === null) process.stdout.write(USAGE)
else await run(options)

async function run(options: Options): Promise<void> {
  const startedAt = new Date()
  const minutes = () => (Date.now() - startedAt.getTime()) / 60_000
  const times = options.isQuick ? QUICK_TIMES : USUAL_TIMES
  const say = (text: string) => console.log(`${(minutes() * 60).toFixed(0).padStart(4)} s  ${text}`)
  const complaints = new Set<string>()
  const complain = (what: string) => {
    complaints.add(what)
    say(`WRONG: ${what}`)
  }

  const shared = allServers()
  const servers = chosen(options, [...shared.usual, ...shared.peers], shared.usual)
  const missing = new Map<string, string>()
  const miss = (server: Server, error: unknown) => {
    const why = error instanceof Error ? error.message : String(error)
    missing.set(server.name, why.split('\n')[0] as string)
    say(`NOT MEASURED: ${server.title}: ${why}`)
  }
  for (const server of servers) {
    try {
      server.install?.()
    } catch (error) {
      miss(server, error)
    }
  }
  const provider = await startProvider()
  try {
    const ceilings = await measureCeilings(provider.port, times, complain)
    const repetitions: Repetition[] = []
    while (repetitions.length < options.repetitions) {
      const n = repetitions.length
      const direct = await measureDirect(provider.port, times, complain)
      const facts: Record<string, Facts> = {}
      for (const server of rotated(servers, n)) {
        if (missing.has(server.name)) continue
        say(`repetition ${n + 1} of ${options.repetitions}: ${server.title}`)
        const plan = { ...options, times, provider, complain: (what: string) => complain(`${server.title}: ${what}`) }
        try {
          facts[server.name] = await measureServer(server, plan)
        } catch (error) {
          miss(server, error)
        }
      }
      repetitions.push({ direct, facts })
    }
    report(options, {
      ...{ startedAt: startedAt.toISOString(), minutes: minutes(), machine: describeMachine() },
      servers: servers.map((server) => describe(server, missing.get(server.name) ?? null)),
      ...{ ceilings, repetitions, complaints: [...complaints] },
    })
  } finally {
    await provider.stop()
    await shared.stop()
  }
}

function report(options: Options, results: Results): void {
  const file = join(RESULTS, options.isAll ? 'peers.json' : 'results.json')
  mkdirSync(RESULTS, { recursive: true })
  writeFileSync(file, JSON.stringify(results, null, 1))
  console.log(
    `\n${plainTable(details(results))}\n\n${plainTable(goalRows(results).filter(([, , , met]) => met !== ''))}\n`,
  )
  for (const { title, missing } of results.servers)
    if (missing !== null) console.log(`${title} was not measured: ${missing}`)
  for (const what of results.complaints) console.log(`WRONG: ${what}`)
  console.log(`raw results: ${file}`)
  if (options.writesPage) console.log(`written: ${writeResults(results, options.isAll ? 'peers' : 'bench')}`)
  if (results.complaints.length > 0) process.exitCode = 1
}

function describe({ name, title, versions }: Server, missing: string | null): MeasuredServer {
  return { name, title, versions: missing === null ? versions() : '', missing }
}

function chosen({ servers, isAll }: Options, all: readonly Server[], usual: readonly Server[]): readonly Server[] {
  if (servers === null) return isAll ? all : usual
  const unknown = servers.filter((name) => !all.some((server) => server.name === name))
  if (unknown.length > 0) throw new Error(`there is no server ${unknown.join(', ')}`)
  return all.filter(({ name }) => servers.includes(name))
}

/** Another one begins in each repetition: what a machine does over time hits all of them. */
function rotated(servers: readonly Server[], n: number): readonly Server[] {
  const by = n % servers.length
  return [...servers.slice(by), ...servers.slice(0, by)]
}

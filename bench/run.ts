import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Options, readOptions, USAGE } from './options.ts'
import { startProvider } from './provider-process.ts'
import { repeat } from './repeat.ts'
import { writeResults } from './report/bench-section.ts'
import { goalRows } from './report/goals.ts'
import { keepResults } from './report/kept.ts'
import { describeMachine, loadBefore } from './report/machine.ts'
import type { Results } from './report/results.ts'
import { details, plainTable } from './report/tables.ts'
import { measureCeilings } from './scenarios/direct.ts'
import { QUICK_TIMES, USUAL_TIMES } from './scenarios/facts.ts'
import { allServers } from './servers/all.ts'
import type { Server } from './servers/server.ts'

/** The benchmark: `node bench/run.ts --help` says what can be asked of it. */

// Whatever was started ends with this process, also when it is interrupted.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(1))
try {
  const options = readOptions(process.argv.slice(2))
  if (options === null) process.stdout.write(USAGE)
  else await run(options)
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = 1
}

async function run(options: Options): Promise<void> {
  const startedAt = new Date()
  const load = loadBefore()
  const minutes = () => (Date.now() - startedAt.getTime()) / 60_000
  const say = (text: string) => console.log(`${(minutes() * 60).toFixed(0).padStart(4)} s  ${text}`)
  const complaints = new Set<string>()
  const complain = (what: string) => {
    complaints.add(what)
    say(`WRONG: ${what}`)
  }
  const times = options.isQuick ? QUICK_TIMES : USUAL_TIMES
  const shared = allServers()
  const servers = chosen(options, shared)
  const directory = mkdtempSync(join(tmpdir(), 'dramatis-bench-'))
  process.on('exit', () => rmSync(directory, { recursive: true, force: true }))
  const provider = await startProvider()
  try {
    const { only, profile } = options
    const ceilings = await measureCeilings(provider.port, times, complain)
    const plan = { only, profile, times, provider, directory, complain }
    const { repetitions, missing } = await repeat(servers, options.repetitions, plan, say)
    const measured = servers.map(({ name, title, versions }) => {
      const why = missing.get(name) ?? null
      return { name, title, versions: why === null ? versions() : '', missing: why }
    })
    report(options, {
      startedAt: startedAt.toISOString(),
      minutes: minutes(),
      machine: [...describeMachine(), load],
      servers: measured,
      ceilings,
      repetitions,
      complaints: [...complaints],
    })
  } finally {
    await provider.stop()
    await shared.stop()
  }
}

function report(options: Options, results: Results): void {
  const section = options.isAll ? 'peers' : 'bench'
  const file = keepResults(options.writesPage ? section : 'last', results)
  const goals = goalRows(results)
    .filter(([, , , met]) => met !== '')
    .map((row) => row.map((text) => text.replaceAll('**', '')))
  const missing = results.servers.flatMap(({ title, missing: why }) =>
    why === null ? [] : [`NOT MEASURED: ${title}: ${why}`],
  )
  const wrong = results.complaints.map((what) => `WRONG: ${what}`)
  console.log(['', plainTable(details(results)), '', plainTable(goals), '', ...missing, ...wrong].join('\n'))
  console.log(`raw results: ${file}`)
  if (options.writesPage) console.log(`written: ${writeResults(results, section)}`)
  if (wrong.length > 0) process.exitCode = 1
}

function chosen({ servers, isAll }: Options, { usual, peers }: ReturnType<typeof allServers>): readonly Server[] {
  const all = [...usual, ...peers]
  if (servers === null) return isAll ? all : usual
  const unknown = servers.filter((name) => !all.some((server) => server.name === name))
  if (unknown.length > 0) throw new Error(`there is no server ${unknown.join(', ')}`)
  return all.filter(({ name }) => servers.includes(name))
}

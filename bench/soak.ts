import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import type { Measured } from './load/jobs.ts'
import { startLoad } from './load-process.ts'
import { useOfTree } from './process-tree.ts'
import { startProvider } from './provider-process.ts'
import { keepResults } from './report/kept.ts'
import { describeMachine, loadBefore } from './report/machine.ts'
import { type Minute, printMinute, type Soak, toCsv, writeSoak } from './report/soak-section.ts'
import { onSqlite, readCalls } from './servers/dramatis.ts'

/** Dramatis on SQLite under mixed load for as long as wanted: `node bench/soak.ts --minutes 60`. */

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '60' },
    rate: { type: 'string', default: '100' },
    users: { type: 'string', default: '32' },
    'no-page': { type: 'boolean', default: false },
  },
})
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(1))
const MINUTE_MS = 60_000
const MIB = 1024 * 1024
const minutes = Number(values.minutes)
const perSecond = Number(values.rate)

const directory = mkdtempSync(join(tmpdir(), 'dramatis-soak-'))
process.on('exit', () => rmSync(directory, { recursive: true, force: true }))
const startedAt = new Date()
const load = loadBefore()
const provider = await startProvider()
const found: Minute[] = []
try {
  const place = await onSqlite.prepare({ providerUrl: provider.url, directory })
  const server = await place.start({ until: 'first turn' })
  const load = startLoad(server.wire)
  try {
    let before = useOfTree(server.pid).cpuMs
    const onSlice = ({ count, errors, total, first, firstError }: Measured) => {
      const { cpuMs, rssMiB } = useOfTree(server.pid)
      const minute = {
        minute: found.length + 1,
        turns: count,
        errors,
        cpuMs: (cpuMs - before) / count,
        rssMiB,
        p50: total.p50,
        p99: total.p99,
        firstP50: first?.p50 ?? Number.NaN,
        firstP99: first?.p99 ?? Number.NaN,
        walMiB: sizeOf('dramatis.db-wal'),
        databaseMiB: sizeOf('dramatis.db'),
      }
      before = cpuMs
      found.push(minute)
      console.log(printMinute(minute) + (firstError === null ? '' : `  WRONG: ${firstError}`))
    }
    const timing = {
      users: Number(values.users),
      perSecond,
      ms: minutes * MINUTE_MS + MINUTE_MS / 10,
      sliceMs: MINUTE_MS,
    }
    await load.do({ kind: 'mixed', ...timing, ...readCalls() }, { onSlice })
  } finally {
    await load.stop()
    await server.stop()
  }
} finally {
  await provider.stop()
}

if (values['no-page']) {
  process.stdout.write(toCsv(found))
} else {
  const soak: Soak = {
    startedAt: startedAt.toISOString(),
    perSecond,
    machine: [...describeMachine(), load],
    minutes: found,
  }
  keepResults('soak', soak)
  console.log(`written: ${writeSoak(soak)}`)
}
if (found.some(({ errors }) => errors > 0)) process.exitCode = 1

/** In MiB; 0 without the file. */
function sizeOf(file: string): number {
  return (statSync(join(directory, 'data', file), { throwIfNoEntry: false })?.size ?? 0) / MIB
}

import { numberText } from './numbers.ts'
import { writeSection } from './page.ts'
import { median } from './statistics.ts'
import { lineCharts } from './svg.ts'
import { markdownTable } from './tables.ts'

/** What one minute of mixed load was like. Times in milliseconds, sizes in MiB. */
export type Minute = {
  minute: number
  turns: number
  errors: number
  cpuMs: number
  rssMiB: number
  p50: number
  p99: number
  firstP50: number
  firstP99: number
  walMiB: number
  databaseMiB: number
}

export type Soak = { startedAt: string; perSecond: number; machine: readonly string[]; minutes: readonly Minute[] }

const SHOWN: readonly { fact: keyof Minute; title: string; unit: string }[] = [
  { fact: 'rssMiB', title: 'Resident memory', unit: 'MiB' },
  { fact: 'walMiB', title: 'Write-ahead log', unit: 'MiB' },
  { fact: 'p50', title: 'A turn, p50', unit: 'ms' },
  { fact: 'p99', title: 'A turn, p99', unit: 'ms' },
  { fact: 'cpuMs', title: 'Processor time of a turn with what goes with it', unit: 'ms' },
]
/** Minutes at the start that do not count: code is compiled, caches fill. */
const FIRST = 3
const COMPARED = 10

export function toCsv(minutes: readonly Minute[]): string {
  const names = Object.keys(minutes[0] ?? {}) as (keyof Minute)[]
  const rows = minutes.map((minute) => names.map((name) => Number(minute[name].toFixed(3))).join(','))
  return `${[names.join(','), ...rows].join('\n')}\n`
}

export function printMinute({ minute, turns, errors, rssMiB, walMiB, databaseMiB, p50, p99, cpuMs }: Minute): string {
  const sizes = `RSS ${numberText(rssMiB)} MiB, WAL ${numberText(walMiB)} MiB, database ${numberText(databaseMiB)} MiB`
  const times = `p50 ${numberText(p50)} ms, p99 ${numberText(p99)} ms, CPU ${numberText(cpuMs)} ms a turn`
  return `minute ${minute}: ${turns} turns, ${errors} errors, ${times}, ${sizes}`
}

/** Writes the section of docs/performance.md, its plot and its numbers. Returns the page's path. */
export function writeSoak(soak: Soak): string {
  const { text, svg } = soakSection(soak)
  return writeSection('soak', text, [
    { file: 'soak.svg', text: svg },
    { file: 'soak.csv', text: toCsv(soak.minutes) },
  ])
}

export function soakSection({ startedAt, perSecond, machine, minutes }: Soak): { text: string; svg: string } {
  const turns = minutes.reduce((sum, minute) => sum + minute.turns, 0)
  const errors = minutes.reduce((sum, minute) => sum + minute.errors, 0)
  // The early minutes and the last ones may not be the same.
  const compared = Math.max(1, Math.min(COMPARED, Math.floor((minutes.length - FIRST) / 2)))
  const early = minutes.slice(FIRST, FIRST + compared)
  const late = minutes.slice(-compared)
  const rows = SHOWN.map(({ fact, title, unit }) => [
    `${title} (${unit})`,
    ...[early, late].map((part) => numberText(median(part.map((minute) => minute[fact])))),
    numberText(Math.max(...minutes.map((minute) => minute[fact]))),
  ])
  const heading = ['', `minutes ${FIRST + 1} to ${FIRST + compared}`, `the last ${compared}`, 'largest']
  const text = [
    `Measured on ${startedAt.slice(0, 10)} on SQLite, ${minutes.length} minutes at ${numberText(perSecond)} turns a second, on: ${machine.join('; ')}.`,
    `${turns.toLocaleString('en-US')} turns, ${errors} errors. Ten turns go with one new conversation, two reads of it, two lists and two feedbacks. The database has ${numberText(minutes.at(-1)?.databaseMiB ?? 0)} MiB at the end.`,
    markdownTable([heading, ...rows]),
    `![Mixed load, minute by minute](performance/soak.svg)`,
    `Every minute: [soak.csv](performance/soak.csv).`,
  ].join('\n\n')
  const lines = SHOWN.map(({ fact, title, unit }) => ({
    title,
    unit,
    points: minutes.map((minute) => [minute.minute, minute[fact]] as const),
  }))
  return {
    text,
    svg: lineCharts({ title: `Mixed load at ${numberText(perSecond)} turns a second`, xTitle: 'minutes', lines }),
  }
}

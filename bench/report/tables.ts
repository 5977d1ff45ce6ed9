import { numberText } from './numbers.ts'
import { type MeasuredServer, type Results, spreadOfFact } from './results.ts'

/** A column of the overview: the facts whose medians stand in its cell, and what one unit of them is. */
export type Column = {
  title: string
  facts: readonly string[]
  /** Stands beside each of them, where there is such a measurement. */
  beside?: readonly string[]
  scale?: number
}

export const OVERVIEW: readonly Column[] = [
  { title: 'create/s', facts: ['create.perSecond'] },
  { title: 'turns/s, c=1 / 16 / 64', facts: ['turns.1.perSecond', 'turns.16.perSecond', 'turns.64.perSecond'] },
  {
    title: 'CPU ms a turn, c=16 / 64',
    facts: ['turns.16.cpuMs', 'turns.64.cpuMs'],
    beside: ['turns.16.databaseCpuMs', 'turns.64.databaseCpuMs'],
  },
  { title: 'added ms to first token, c=1, p50 / p99', facts: ['added.p50', 'added.p99'] },
  { title: 'turn ms, c=64, p50 / p99', facts: ['turns.64.p50', 'turns.64.p99'] },
  { title: 'fresh connection ms, c=64, p99', facts: ['connect.p99'] },
  { title: 'turn ms at 1,000 messages, all sent', facts: ['history.whole1000.p50'] },
  { title: 'with a window, 1,000 / 10,000', facts: ['history.window1000.p50', 'history.window10000.p50'] },
  { title: 'MiB idle / after a turn', facts: ['start.idleMiB', 'start.usedMiB'] },
  { title: 'MiB a stream, 500 / 2,000 open', facts: ['streams.500.miB', 'streams.2000.miB'] },
  { title: 'start to first turn, s', facts: ['start.firstTurnMs'], scale: 1_000 },
]

/** Everything that the spread is told of, with its name. */
export const DETAILS: readonly Column[] = [
  { title: 'create/s', facts: ['create.perSecond'] },
  { title: 'create/s, of the floor', facts: ['ratio:create.perSecond'] },
  ...[1, 16, 64].flatMap((users): Column[] => [
    { title: `turns/s, c=${users}`, facts: [`turns.${users}.perSecond`] },
    { title: `turns/s, c=${users}, of the floor`, facts: [`ratio:turns.${users}.perSecond`] },
    { title: `CPU ms a turn, c=${users}`, facts: [`turns.${users}.cpuMs`] },
    { title: `CPU ms a turn of PostgreSQL, c=${users}`, facts: [`turns.${users}.databaseCpuMs`] },
    { title: `first token ms, c=${users}, p50`, facts: [`turns.${users}.first.p50`] },
    { title: `first token ms, c=${users}, p99`, facts: [`turns.${users}.first.p99`] },
    { title: `turn ms, c=${users}, p50`, facts: [`turns.${users}.p50`] },
    { title: `turn ms, c=${users}, p99`, facts: [`turns.${users}.p99`] },
  ]),
  { title: 'added ms to first token, c=1, p50', facts: ['added.p50'] },
  { title: 'added ms to first token, c=1, p99', facts: ['added.p99'] },
  { title: 'turn ms, c=64, p99, to the floor', facts: ['ratio:turns.64.p99'] },
  { title: 'fresh connection ms, c=64, p50', facts: ['connect.p50'] },
  { title: 'fresh connection ms, c=64, p99', facts: ['connect.p99'] },
  { title: 'turn ms, 1,000 messages, all sent', facts: ['history.whole1000.p50'] },
  { title: 'the same, to the floor', facts: ['ratio:history.whole1000.p50'] },
  { title: 'turn ms, 1,000 messages, window', facts: ['history.window1000.p50'] },
  { title: 'turn ms, 10,000 messages, window', facts: ['history.window10000.p50'] },
  { title: 'MiB idle', facts: ['start.idleMiB'] },
  { title: 'MiB after a turn', facts: ['start.usedMiB'] },
  { title: 'MiB a stream, 500 open', facts: ['streams.500.miB'] },
  { title: 'MiB a stream, 2,000 open', facts: ['streams.2000.miB'] },
  { title: 'start to first turn, s', facts: ['start.firstTurnMs'], scale: 1_000 },
]

const NOTHING = '-'

/** One row for each server, medians. */
export function overview(results: Results): string[][] {
  return [
    ['', ...OVERVIEW.map(({ title }) => title)],
    ...results.servers.map((server) => [
      server.title,
      ...OVERVIEW.map((column, i) =>
        server.missing === null ? cell(results, server, column) : i === 0 ? 'not measured' : '',
      ),
    ]),
  ]
}

function cell(results: Results, { name }: MeasuredServer, { facts, beside = [], scale = 1 }: Column): string {
  const textOf = (fact: string | undefined) => {
    const spread = fact === undefined ? null : spreadOfFact(results, name, fact)
    return spread === null ? null : numberText(spread.median / scale)
  }
  const texts = facts.map((fact, i) => {
    const other = textOf(beside[i])
    return (textOf(fact) ?? NOTHING) + (other === null ? '' : ` + ${other}`)
  })
  return texts.every((text) => text === NOTHING) ? NOTHING : texts.join(' / ')
}

/** One row for each measurement: median, and from the smallest to the largest. Rows that nobody has are left out. */
export function details(results: Results): string[][] {
  const servers = results.servers.filter(({ missing }) => missing === null)
  const rows = DETAILS.map(({ title, facts: [fact = ''], scale = 1 }) => [
    title,
    ...servers.map(({ name }) => {
      const spread = spreadOfFact(results, name, fact)
      if (spread === null) return NOTHING
      const [middle, min, max] = [spread.median, spread.min, spread.max].map((value) => numberText(value / scale))
      return spread.n === 1 ? `${middle}` : `${middle} (${min} to ${max})`
    }),
  ])
  return [
    ['', ...servers.map(({ title }) => title)],
    ...rows.filter((row) => row.slice(1).some((text) => text !== NOTHING)),
  ]
}

/** Rows as a table in Markdown; the first one is the heading. */
export function markdownTable([heading = [], ...rows]: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
  return [line(heading), `|${heading.map(() => '---').join('|')}|`, ...rows.map(line)].join('\n')
}

/** Rows as columns of text for a terminal. */
export function plainTable(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, i) => Math.max(...rows.map((row) => (row[i] ?? '').length)))
  return rows
    .map((row) =>
      row
        .map((text, i) => (i === 0 ? text.padEnd(widths[i] ?? 0) : text.padStart(widths[i] ?? 0)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

import { type Chart, chartsOf } from './charts.ts'
import { goalRows } from './goals.ts'
import { numberText } from './numbers.ts'
import { writeSection } from './page.ts'
import type { Results } from './results.ts'
import { details, markdownTable, overview } from './tables.ts'

/** Writes what a run has found into its section of docs/performance.md. Returns what was written. */
export function writeResults(results: Results, section: 'bench' | 'peers'): string {
  const { text, charts } = benchSection(results, section)
  return writeSection(
    section,
    text,
    charts.map(({ file, svg }) => ({ file, text: svg })),
  )
}

/** What a run has found, as a section of the page with its plots. The goals are those of the run without peers. */
export function benchSection(results: Results, section: 'bench' | 'peers'): { text: string; charts: Chart[] } {
  const charts = chartsOf(results, section === 'bench' ? '' : 'peers-')
  const text = [
    describeRun(results),
    markdownTable(overview(results)),
    ...missing(results),
    ...(section === 'bench'
      ? [`Goals, each with the median of the repetitions, and from the smallest to the largest:`, goals(results)]
      : []),
    ...charts.map(({ file, alt }) => `![${alt}](performance/${file})`),
    `Every measurement: median, and from the smallest to the largest.`,
    markdownTable(details(results)),
    ...complaints(results),
  ]
  return { text: text.join('\n\n'), charts }
}

const goals = (results: Results) => markdownTable([['Goal', 'Limit', 'Measured', ''], ...goalRows(results)])

function describeRun({ startedAt, minutes, machine, servers, ceilings, repetitions }: Results): string {
  const limits = [
    ['the provider', ceilings['ceiling.provider']],
    ['a server that only writes the answer', ceilings['ceiling.load']],
  ].map(([what, value]) => `${numberText(Number(value))} turns/s straight against ${what}`)
  const times = repetitions.length === 1 ? 'one repetition' : `${repetitions.length} repetitions`
  return [
    `Measured on ${startedAt.slice(0, 10)} in ${numberText(minutes)} minutes, ${times}, on: ${machine.join('; ')}.`,
    `The load generator reaches ${limits.join(', and ')} (c=64).`,
    '',
    ...servers.filter(({ missing: why }) => why === null).map(({ title, versions }) => `- ${title}: ${versions}`),
  ].join('\n')
}

function missing({ servers }: Results): string[] {
  const lines = servers.flatMap(({ title, missing: why }) =>
    why === null ? [] : [`- ${title} was not measured: ${why}`],
  )
  return lines.length === 0 ? [] : [lines.join('\n')]
}

function complaints({ complaints: all }: Results): string[] {
  return all.length === 0 ? [] : [`What went wrong:\n\n${all.map((what) => `- ${what}`).join('\n')}`]
}

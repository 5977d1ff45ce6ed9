import { type Results, spreadOfFact } from './results.ts'
import { type Bar, barChart, type Tone } from './svg.ts'

export type Chart = { file: string; alt: string; svg: string }

type ChartSpec = {
  file: string
  title: string
  unit: string
  bars: readonly { label: string; fact: string; tone?: Tone }[]
}

const SPECS: readonly ChartSpec[] = [
  {
    file: 'turns',
    title: 'Turns a second',
    unit: 'more is better',
    bars: [1, 16, 64].map((users) => ({ label: `c=${users}`, fact: `turns.${users}.perSecond` })),
  },
  {
    file: 'cpu',
    title: 'Processor time of a turn at c=16',
    unit: 'ms, less is better',
    bars: [
      { label: '', fact: 'turns.16.cpuMs' },
      { label: 'database', fact: 'turns.16.databaseCpuMs', tone: 'other' },
    ],
  },
  {
    file: 'first-token',
    title: 'Added time to the first token at c=1',
    unit: 'ms, less is better',
    bars: [
      { label: 'p50', fact: 'added.p50' },
      { label: 'p99', fact: 'added.p99', tone: 'strong' },
    ],
  },
  {
    file: 'history',
    title: 'A turn in a long conversation',
    unit: 'ms, less is better',
    bars: [
      { label: '1,000, all sent', fact: 'history.whole1000.p50' },
      { label: '1,000, window', fact: 'history.window1000.p50' },
      { label: '10,000, window', fact: 'history.window10000.p50' },
    ],
  },
  {
    file: 'memory',
    title: 'Memory of a server that has just started',
    unit: 'MiB, less is better',
    bars: [{ label: '', fact: 'start.idleMiB' }],
  },
]

/** The plots of a run; `prefix` begins their file names. */
export function chartsOf(results: Results, prefix: string): Chart[] {
  return SPECS.map(({ file, title, unit, bars }) => {
    const groups = results.servers
      .map((server) => ({
        title: server.title,
        bars: bars.flatMap(({ label, fact, tone }): Bar[] => {
          const value = spreadOfFact(results, server.name, fact)?.median
          return value === undefined ? [] : [{ label, value, tone: tone ?? toneOf(server.name) }]
        }),
      }))
      .filter((group) => group.bars.length > 0)
    return { file: `${prefix}${file}.svg`, alt: title, svg: barChart({ title, unit, groups }) }
  })
}

function toneOf(server: string): Tone {
  if (server === 'floor') return 'plain'
  return server === 'sqlite' || server === 'postgres' ? 'ours' : 'other'
}

import { describe, expect, test } from 'vitest'
import { benchSection } from './bench-section.ts'
import { GOALS, goalRows, isMet } from './goals.ts'
import { fillTemplate } from './page.ts'
import { factOf, type Results, spreadOfFact } from './results.ts'
import { type Minute, soakSection, toCsv } from './soak-section.ts'
import { barChart, lineCharts } from './svg.ts'
import { details, markdownTable, overview, plainTable } from './tables.ts'

const repetition = (turns: number, ofFloor: number) => ({
  direct: { 'direct.first.p50': 0.1, 'direct.first.p99': 0.5 },
  facts: {
    floor: { 'turns.16.perSecond': ofFloor },
    sqlite: { 'turns.16.perSecond': turns, 'turns.1.first.p50': 0.9, 'start.firstTurnMs': 540 },
  },
})
const server = (name: string, title: string, missing: string | null = null) => ({
  name,
  title,
  missing,
  versions: 'one 1.0',
})

const results: Results = {
  startedAt: '2027-01-02T03:04:05.000Z',
  minutes: 4.2,
  machine: ['2 x fast'],
  complaints: ['a token too few'],
  servers: [
    server('floor', 'floor'),
    server('sqlite', 'Dramatis, SQLite'),
    server('other', 'Other', 'it is not there'),
  ],
  ceilings: { 'ceiling.provider': 60_000, 'ceiling.load': 70_000 },
  repetitions: [repetition(4_000, 10_000), repetition(3_000, 5_000), repetition(3_500, 14_000)],
}

describe('what follows from measurements', () => {
  test('a ratio is that to the floor of the same repetition', () => {
    expect(spreadOfFact(results, 'sqlite', 'ratio:turns.16.perSecond')).toEqual({
      median: 0.4,
      min: 0.25,
      max: 0.6,
      n: 3,
    })
  })

  test('what is added is the difference to the provider itself', () => {
    const [first] = results.repetitions
    expect(factOf(first as Results['repetitions'][number], 'sqlite', 'added.p50')).toBeCloseTo(0.8)
  })

  test('what was not measured is not there', () => {
    expect(spreadOfFact(results, 'sqlite', 'added.p99')).toBeNull()
    expect(spreadOfFact(results, 'other', 'turns.16.perSecond')).toBeNull()
    expect(spreadOfFact(results, 'sqlite', 'history.growth')).toBeNull()
  })
})

describe('goals', () => {
  test('are met at their limits and missed beyond them', () => {
    const spread = (value: number) => ({ median: value, min: value, max: value, n: 1 })
    const [atLeast] = GOALS.filter(({ kind }) => kind === 'at least')
    const [atMost] = GOALS.filter(({ kind }) => kind === 'at most')
    if (!atLeast || !atMost) throw new Error('there are both kinds')
    expect([isMet(atLeast, spread(atLeast.limit)), isMet(atLeast, spread(atLeast.limit * 0.9))]).toEqual([true, false])
    expect([isMet(atMost, spread(atMost.limit)), isMet(atMost, spread(atMost.limit * 1.1))]).toEqual([true, false])
    expect(isMet(atMost, null)).toBeNull()
  })

  test('stand beside what was measured', () => {
    expect(goalRows(results)[0]).toEqual([
      'turns a second at c=16, SQLite',
      'at least 0.3 of the floor',
      '0.4 (0.25 to 0.6)',
      'met',
    ])
    expect(goalRows(results)[1]?.slice(2)).toEqual(['not measured', ''])
  })
})

describe('tables', () => {
  test('the overview has the medians of every server, and says which are missing', () => {
    const [heading, floor, sqlite, other] = overview(results)
    expect(heading?.slice(0, 3)).toEqual(['', 'create/s', 'turns/s, c=1 / 16 / 64'])
    expect(floor?.slice(0, 3)).toEqual(['floor', '-', '- / 10,000 / -'])
    expect(sqlite?.[2]).toBe('- / 3,500 / -')
    expect(sqlite?.at(-1)).toBe('0.54')
    expect(other?.slice(0, 2)).toEqual(['Other', 'not measured'])
  })

  test('the details have the spread, and no rows that nobody has', () => {
    const rows = details(results)
    expect(rows.find(([name]) => name === 'turns/s, c=16')).toEqual([
      'turns/s, c=16',
      '10,000 (5,000 to 14,000)',
      '3,500 (3,000 to 4,000)',
    ])
    expect(rows.map(([name]) => name)).not.toContain('create/s')
  })

  test('are Markdown on a page and columns in a terminal', () => {
    const rows = [
      ['', 'n'],
      ['one', '1'],
    ]
    expect(markdownTable(rows)).toBe('|  | n |\n|---|---|\n| one | 1 |')
    expect(plainTable(rows)).toBe('     n\none  1')
  })
})

describe('plots', () => {
  test('bars have their values beside them, and the longest one fits', () => {
    const bars = [4_000, 0, 250].map((value) => ({ label: `c=${value}`, value, tone: 'ours' as const }))
    const svg = barChart({ title: 'Turns & <more>', unit: 'a second', groups: [{ title: 'one', bars }] })
    expect(svg).toContain('Turns &amp; &lt;more> (a second)')
    expect(svg.match(/<rect/g)).toHaveLength(3)
    for (const label of ['>one<', '>c=4000<', '>4,000<', '>0<', '>250<']) expect(svg).toContain(label)
    const widths = [...svg.matchAll(/<rect [^>]*width="([\d.]+)"/g)].map(([, width]) => Number(width))
    expect(widths[0]).toBeLessThanOrEqual(400)
    expect((widths[2] as number) / (widths[0] as number)).toBeCloseTo(250 / 4_000, 2)
  })

  test('without anything to draw there is still a picture', () => {
    expect(barChart({ title: 'none', unit: 'ms', groups: [] })).not.toMatch(/NaN|Infinity/)
    expect(
      lineCharts({ title: 'none', xTitle: 'minutes', lines: [{ title: 'a', unit: 'b', points: [] }] }),
    ).not.toMatch(/NaN|Infinity/)
  })
})

describe('the page', () => {
  test('gets one section and keeps the others', () => {
    const template = '# Title\n\n<!-- bench -->\n\n<!-- peers -->\n\n<!-- soak -->\n'
    const first = fillTemplate(template, '', { peers: '| $& |' })
    const second = fillTemplate(template.replace('Title', 'New title'), first, { bench: 'numbers' })
    expect(second).toContain('# New title')
    expect(second).toContain('<!-- bench -->\n\nnumbers\n\n<!-- /bench -->')
    expect(second).toContain('<!-- peers -->\n\n| $& |\n\n<!-- /peers -->')
    expect(second).toContain('<!-- soak -->\n\nNot measured yet.\n\n<!-- /soak -->')
  })

  test('a run says where and how it was measured, and what went wrong', () => {
    const { text, charts } = benchSection(results, 'bench')
    for (const part of [
      '2027-01-02',
      '3 repetitions',
      '2 x fast',
      '60,000 turns/s',
      '- Other was not measured: it is not there',
    ]) {
      expect(text).toContain(part)
    }
    expect(text).toContain('- a token too few')
    for (const { file } of charts) expect(text).toContain(`(performance/${file})`)
    expect(text).not.toMatch(/NaN|undefined|null/)
  })

  test('a soak compares its beginning with its end', () => {
    const minutes = Array.from({ length: 20 }, (_, i): Minute => {
      const rest = { turns: 6_000, errors: 0, cpuMs: 0.4, firstP50: 1, firstP99: 2, databaseMiB: 10 * i }
      return { minute: i + 1, rssMiB: 100 + i, p50: 2, p99: 5, walMiB: 4, ...rest }
    })
    const machine = ['2 x fast']
    const { text, svg } = soakSection({ startedAt: results.startedAt, perSecond: 100, machine, minutes })
    expect(text).toContain('|  | minutes 4 to 11 | the last 8 | largest |')
    expect(text).toContain('| Resident memory (MiB) | 107 | 116 | 119 |')
    expect(text).toContain('120,000 turns, 0 errors')
    expect(svg.match(/<polyline/g)).toHaveLength(5)
    expect(toCsv(minutes).split('\n')).toHaveLength(22)
  })
})

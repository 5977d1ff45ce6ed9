import { numberText } from './numbers.ts'

/** Bars that belong together, such as those of one server. */
export type BarGroup = { title: string; bars: readonly Bar[] }
export type Bar = {
  label: string
  value: number
  tone: Tone
}
export type Tone = keyof typeof TONES

/** Readable on white and on the dark grey of dark themes: pictures do not know which one they stand on. */
const TONES = { ours: '#2f81f7', other: '#a371f7', plain: '#8b949e', strong: '#db6d28' }
const TEXT = '#747c86'
const FONT = 'system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif'

const WIDTH = 760
/** Titles of groups begin at the left edge, labels of bars end here. */
const LABELS = 270
const VALUES = 90
const BAR = 16
const GAP = 6
const GROUP_GAP = 14
const HEADING = 44

/** Horizontal bars with their values written beside them. */
export function barChart(chart: { title: string; unit: string; groups: readonly BarGroup[] }): string {
  const largest = Math.max(...chart.groups.flatMap(({ bars }) => bars.map(({ value }) => value)), Number.MIN_VALUE)
  const room = WIDTH - LABELS - VALUES
  const parts: string[] = []
  let y = HEADING
  for (const { title, bars } of chart.groups) {
    bars.forEach(({ label, value, tone }, i) => {
      const length = Math.max(1, (value / largest) * room)
      const middle = y + BAR / 2 + 4
      parts.push(
        ...(i === 0 ? [text(10, middle, title, { anchor: 'start' })] : []),
        text(LABELS - 10, middle, label, { anchor: 'end' }),
        `<rect x="${LABELS}" y="${y}" width="${round(length)}" height="${BAR}" rx="2" fill="${TONES[tone]}"/>`,
        text(LABELS + length + 8, middle, numberText(value), { anchor: 'start' }),
      )
      y += BAR + GAP
    })
    y += GROUP_GAP - GAP
  }
  return frame(y, `${chart.title} (${chart.unit})`, parts)
}

export type Line = { title: string; unit: string; points: readonly (readonly [x: number, y: number])[] }

const PANEL = 90
const PANEL_GAP = 40

/** Lines over the same x, one panel each, from zero to their largest value, which is written beside them. */
export function lineCharts(chart: { title: string; xTitle: string; lines: readonly Line[] }): string {
  const longest = Math.max(...chart.lines.flatMap(({ points }) => points.map(([x]) => x)), 1)
  const room = WIDTH - 2 * VALUES
  const parts: string[] = []
  let y = HEADING + 10
  for (const { title, unit, points } of chart.lines) {
    const largest = Math.max(...points.map(([, value]) => value), Number.MIN_VALUE)
    const at = ([x, value]: readonly [number, number]) =>
      `${round(VALUES + (x / longest) * room)},${round(y + PANEL - (value / largest) * PANEL)}`
    const last = points.at(-1) ?? [0, 0]
    parts.push(
      text(VALUES, y - 8, `${title} (${unit})`, { anchor: 'start' }),
      `<path d="M${VALUES} ${y}V${y + PANEL}H${VALUES + room}" fill="none" stroke="${TEXT}" stroke-opacity="0.5"/>`,
      text(VALUES - 8, y + 5, numberText(largest), { anchor: 'end' }),
      text(VALUES - 8, y + PANEL, '0', { anchor: 'end' }),
      `<polyline points="${points.map(at).join(' ')}" fill="none" stroke="${TONES.ours}" stroke-width="2" stroke-linejoin="round"/>`,
      text(VALUES + room + 8, y + PANEL - (last[1] / largest) * PANEL + 4, numberText(last[1]), { anchor: 'start' }),
    )
    y += PANEL + PANEL_GAP
  }
  parts.push(text(VALUES + room, y - PANEL_GAP + 18, `${numberText(longest)} ${chart.xTitle}`, { anchor: 'end' }))
  return frame(y, chart.title, parts)
}

function frame(height: number, title: string, parts: readonly string[]): string {
  const head = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}"`
  return [
    `${head} role="img" aria-label="${escaped(title)}" font-family="${FONT}" font-size="13" fill="${TEXT}">`,
    text(10, 22, title, { anchor: 'start', weight: 600 }),
    ...parts,
    '</svg>',
    '',
  ].join('\n')
}

function text(x: number, y: number, content: string, style: { anchor: 'start' | 'end'; weight?: number }): string {
  const weight = style.weight === undefined ? '' : ` font-weight="${style.weight}"`
  return `<text x="${round(x)}" y="${round(y)}" text-anchor="${style.anchor}"${weight}>${escaped(content)}</text>`
}

const round = (value: number) => Math.round(value * 10) / 10
const escaped = (content: string) => content.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;')

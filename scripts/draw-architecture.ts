import { BASE, FEATURES, INSIDE, MECHANISMS, TOP } from './rooms.ts'

/*
 * The picture of ARCHITECTURE.md: what puts everything together above the features in their order, below them the
 * mechanisms, and at the bottom what everybody may use. Arrows go down, as imports do.
 */

const WIDTH = 960
const MARGIN = 16
const GAP = 12
const ROW = 26
/** Widths of letters of a sans-serif face at 13 and 11 pixels, on the large side. */
const LETTER = { large: 7.4, small: 6.3 }

type Box = { title: string; rooms: readonly string[] }

const STYLE = `
  svg { color-scheme: light dark; font: 13px system-ui, sans-serif; }
  .paper { fill: #ffffff; } .layer { fill: #f3f4f6; stroke: #c4c8cf; } .room { fill: #ffffff; stroke: #6b7280; }
  text { fill: #1f2328; } .layer-name { font-weight: 600; } .inner { font-size: 11px; fill: #4b5563; }
  .arrow { stroke: #6b7280; stroke-width: 2; fill: none; } .head { fill: #6b7280; }
  @media (prefers-color-scheme: dark) {
    .paper { fill: #0d1117; } .layer { fill: #161b22; stroke: #3d444d; } .room { fill: #0d1117; stroke: #8b949e; }
    text { fill: #e6edf3; } .inner { fill: #a8b1bb; } .arrow { stroke: #8b949e; } .head { fill: #8b949e; }
  }`

/** A room with the rooms inside it, in their order; files that stand between them are left out. */
function boxOf(folder: string, title: string): Box {
  return { title, rooms: INSIDE[folder] ?? [] }
}

const LAYERS: readonly { name: string; boxes: readonly Box[] }[] = [
  { name: 'what puts the rest together', boxes: TOP.map((room) => boxOf(room, room)) },
  {
    name: 'features: each may enter those before it, and so may the rooms inside a room',
    boxes: FEATURES.map((room) => boxOf(`features/${room}`, room)),
  },
  { name: 'mechanisms: they know no feature', boxes: MECHANISMS.map((room) => boxOf(room, room)) },
  { name: 'what everybody may use', boxes: BASE.map((room) => boxOf(room, room)) },
]

/** The words of a box on lines that fit into `width`. */
function linesOf(words: readonly string[], width: number): string[] {
  const lines: string[] = []
  for (const word of words) {
    const last = lines.at(-1)
    const longer = last === undefined ? word : `${last} · ${word}`
    if (last !== undefined && longer.length * LETTER.small <= width) lines[lines.length - 1] = longer
    else lines.push(word)
  }
  return lines
}

type Placed = { svg: string; height: number; width: number }

function drawBox({ title, rooms }: Box, x: number, y: number, most: number): Placed {
  const titleWidth = title.length * LETTER.large
  const inner = linesOf(rooms, Math.min(most - 20, 300))
  const innerWidth = Math.max(0, ...inner.map((line) => line.length * LETTER.small))
  const width = Math.ceil(Math.max(titleWidth, innerWidth)) + 20
  const height = ROW + inner.length * 16 + (inner.length > 0 ? 6 : 0)
  const lines = inner.map((line, i) => `<text class="inner" x="${x + 10}" y="${y + 34 + i * 16}">${line}</text>`)
  const svg = [
    `<rect class="room" x="${x}" y="${y}" width="${width}" height="${height}" rx="5"/>`,
    `<text x="${x + 10}" y="${y + 18}">${title}</text>`,
    ...lines,
  ].join('\n')
  return { svg, height, width }
}

function drawLayer(name: string, boxes: readonly Box[], top: number): { svg: string; bottom: number } {
  const right = WIDTH - MARGIN - GAP
  let [x, y, rowHeight] = [MARGIN + GAP, top + 32, 0]
  const drawn: string[] = []
  for (const box of boxes) {
    let placed = drawBox(box, x, y, right - MARGIN)
    if (x + placed.width > right) {
      ;[x, y, rowHeight] = [MARGIN + GAP, y + rowHeight + GAP, 0]
      placed = drawBox(box, x, y, right - MARGIN)
    }
    drawn.push(placed.svg)
    x += placed.width + GAP
    rowHeight = Math.max(rowHeight, placed.height)
  }
  const bottom = y + rowHeight + GAP
  const layer = [
    `<rect class="layer" x="${MARGIN}" y="${top}" width="${WIDTH - 2 * MARGIN}" height="${bottom - top}" rx="8"/>`,
    `<text class="layer-name" x="${MARGIN + GAP}" y="${top + 21}">${name}</text>`,
    ...drawn,
  ]
  return { svg: layer.join('\n'), bottom }
}

function drawArrow(from: number, to: number): string {
  const x = WIDTH / 2
  return [
    `<path class="arrow" d="M${x} ${from}V${to - 8}"/>`,
    `<path class="head" d="M${x - 6} ${to - 9}h12l-6 9z"/>`,
  ].join('\n')
}

/** The picture as an SVG of its own, light or dark as its reader likes it. */
export function drawArchitecture(): string {
  const parts: string[] = []
  let top = MARGIN
  for (const [i, { name, boxes }] of LAYERS.entries()) {
    const { svg, bottom } = drawLayer(name, boxes, top)
    parts.push(svg)
    const next = bottom + 28
    if (i < LAYERS.length - 1) parts.push(drawArrow(bottom, next))
    top = next
  }
  const height = top - 28 + MARGIN
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-labelledby="title">`,
    '<title id="title">The rooms of server/src; arrows go where imports may go, from top to bottom</title>',
    `<style>${STYLE}\n</style>`,
    `<rect class="paper" width="${WIDTH}" height="${height}"/>`,
    ...parts,
    '</svg>\n',
  ].join('\n')
}

import type { Layer } from '../../../lib/text/text-layers.ts'
import type { Spelling } from './secret-spellings.ts'

/** Where something stands in the original of a layer, from the first unit to behind the last. */
export type Range = { from: number; to: number }

/** Lengths of the windows that are looked up: each spelling has the longest that is no longer than a piece of it. */
const WINDOWS = [4, 6, 8, 12, 16, 24, 32] as const
const FACTOR = 0x01000193
/** Slots of the table that tells most places of a text at once that nothing is there. */
const SLOTS = 65_536
/** Places with the same window that are looked at. */
const MOST_PLACES = 64
/** Comparisons for one layer, for each of its units; with more the rest of it is hidden. */
const MOST_COMPARISONS = 64

type Place = { spelling: Spelling; at: number }
type Table = { size: number; first: number; slots: Uint8Array; places: Map<number, Place[]> }

/** Finds spellings, and pieces of them, in a layer, in time that grows with its length alone. */
export type FindSpellings = (layer: Layer) => Range[]

/**
 * Makes that: of each spelling so many windows are kept that one is in every piece, and all windows of a text are looked
 * up by their hashes (Rabin and Karp, https://doi.org/10.1147/rd.312.0249).
 */
export function createFindSpellings(spellings: readonly Spelling[]): FindSpellings {
  const tables = WINDOWS.flatMap((size, i) => {
    const next = WINDOWS[i + 1] ?? Number.POSITIVE_INFINITY
    const ours = spellings.filter(({ piece }) => piece >= size && piece < next)
    return ours.length === 0 ? [] : [createTable(size, ours)]
  })
  return (layer) => tables.flatMap((table) => findIn(table, layer))
}

function createTable(size: number, spellings: readonly Spelling[]): Table {
  const first = Array.from({ length: size - 1 }).reduce<number>((power) => Math.imul(power, FACTOR), 1)
  const table: Table = { size, first, slots: new Uint8Array(SLOTS), places: new Map() }
  for (const spelling of spellings) {
    const stride = spelling.piece - size + 1
    eachWindow(table, spelling.text, (hash, at) => {
      if (at % stride !== 0 && at !== spelling.text.length - size) return
      table.slots[slotOf(hash)] = 1
      const places = table.places.get(hash)
      if (!places) table.places.set(hash, [{ spelling, at }])
      else if (places.length < MOST_PLACES) places.push({ spelling, at })
    })
  }
  return table
}

function findIn(table: Table, layer: Layer): Range[] {
  const { text } = layer
  const ranges: Range[] = []
  let left = MOST_COMPARISONS * text.length
  let covered = 0
  eachWindow(table, text, (hash, at) => {
    if (table.slots[slotOf(hash)] === 0 || left < 0) return
    for (const { spelling, at: inside } of table.places.get(hash) ?? []) {
      let [from, to] = [at, at]
      const shift = inside - at
      const { length } = spelling.text
      while (to + shift < length && to < text.length && text[to] === spelling.text[to + shift]) to++
      // What was found before needs no second look.
      while (from > covered && from + shift > 0 && text[from - 1] === spelling.text[from - 1 + shift]) from--
      left -= to - from
      if (to - at < table.size || (to - from < spelling.piece && from > covered)) continue
      ranges.push(rangeOf(layer, from, to, spelling, shift))
      covered = Math.max(covered, to)
    }
    if (left < 0) ranges.push({ from: layer.from[at] as number, to: layer.to.at(-1) as number })
  })
  return ranges
}

function rangeOf(layer: Layer, first: number, end: number, { text, shares }: Spelling, shift: number): Range {
  const from = first + shift === 0 && shares[0] && areTogether(layer, first - 1) ? first - 1 : first
  const last = end + shift === text.length && shares[1] && areTogether(layer, end - 1) ? end : end - 1
  return { from: layer.from[from] as number, to: layer.to[last] as number }
}

/** Whether the letters at `at` and behind it are of one word of base64. */
function areTogether({ text, from, to }: Layer, at: number): boolean {
  return to[at] === from[at + 1] && /^[a-z0-9+/_-]{2}$/.test(text.slice(at, at + 2))
}

/** The beginning of a spelling at the end of a layer; all from there to the end of the text goes. */
export function findBeginning(layer: Layer, ending: string, spelling: Spelling, end: number): Range[] {
  const { text: needle, beginning, shares } = spelling
  const last = ending.at(-1) as string
  for (let length = Math.min(needle.length, ending.length); length >= beginning; length--) {
    // To the next length that ends with the last letter.
    length = needle.lastIndexOf(last, length - 1) + 1
    if (length < beginning) return []
    if (!ending.endsWith(needle.slice(0, length))) continue
    const first = ending.length - length
    const from = shares[0] && areTogether(layer, first - 1) ? first - 1 : first
    return [{ from: layer.from[from] as number, to: end }]
  }
  return []
}

function eachWindow(
  { size, first }: Pick<Table, 'size' | 'first'>,
  text: string,
  take: (hash: number, at: number) => void,
) {
  let hash = 0
  for (let at = 0; at < text.length; at++) {
    if (at >= size) hash = (hash - Math.imul(text.charCodeAt(at - size), first)) | 0
    hash = (Math.imul(hash, FACTOR) + text.charCodeAt(at)) | 0
    if (at >= size - 1) take(hash, at - size + 1)
  }
}

function slotOf(hash: number): number {
  return (hash ^ (hash >>> 16)) & (SLOTS - 1)
}

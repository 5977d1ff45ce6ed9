import type { Layer } from '../../lib/text/text-layers.ts'
import { readingsOf } from './readings.ts'

/*
 * Finds where one text quotes another, however it is written there, and cuts that out. It knows nothing of models:
 * `discreet.ts` says what of a failure is compared with what.
 */

/**
 * Characters that a piece has to have in common with a text to count as quoted from it, white space and quotation marks
 * not counted: some three words of English. What is shorter tells nobody anything of a prompt.
 */
const LEAST = 14

/** What stands where a quoted piece was. */
const MARK = '…'

/** What the hash of a piece is multiplied with for each character, and by then its first one. */
const FACTOR = 0x01000193
const FIRST_FACTOR = Array.from({ length: LEAST - 1 }).reduce<number>((power) => Math.imul(power, FACTOR), 1)

/** Slots of the table that tells most pieces of a text at once that they were not quoted. */
const SLOTS = 65_536

/**
 * Replaces by `…` every piece of `words` that stands in one of `texts`: in whatever case, with whatever white space or marks
 * between the letters, backwards too, and in all the ways that {@link readingsOf} reads it. Takes time in proportion to the
 * length of all texts, some 30 ns a character: it is for when something has failed, and `words` are to be short.
 */
export function withoutQuotes(words: readonly string[], texts: readonly string[]): string[] {
  const readings = words.map(readingsOf)
  const isQuoted = words.map(({ length }) => new Uint8Array(length))
  for (const ignored of [MARKS, ALL_MARKS]) {
    const folded = readings.flatMap((layers, word) => layers.map((layer) => ({ ...foldLayer(layer, ignored), word })))
    // In one, so that a long text is gone through once. No character that is compared is a zero.
    const all = folded.flatMap(({ units }) => [...units, 0])
    const place = folded.flatMap((one) => Array.from({ length: one.units.length + 1 }, (_, at) => ({ one, at })))
    const pieces = createPieces(Uint16Array.from(all), (first) => {
      const { one, at } = place[first] as { one: Folded & { word: number }; at: number }
      const [a, b] = [at, at + LEAST - 1]
      const from = Math.min(one.starts[a] as number, one.starts[b] as number)
      isQuoted[one.word]?.fill(1, from, Math.max(one.ends[a] as number, one.ends[b] as number))
    })
    for (const text of texts) pieces.findIn(fold(text, ignored).units)
  }
  return words.map((text, i) => cutOut(text, isQuoted[i] as Uint8Array))
}

function cutOut(text: string, isQuoted: Uint8Array): string {
  let shown = ''
  for (let at = 0; at < text.length; ) {
    const from = at
    while (at < text.length && isQuoted[at] === 1) at++
    if (at > from) shown += MARK
    const rest = at
    while (at < text.length && isQuoted[at] === 0) at++
    shown += text.slice(rest, at)
  }
  return shown
}

/** The places of a layer's characters in what it was made of. */
function foldLayer({ text, from, to }: Layer, ignored: Uint8Array): Folded {
  const { units, starts, ends } = fold(text, ignored)
  return { units, starts: starts.map((at) => from[at] as number), ends: ends.map((end) => to[end - 1] as number) }
}

/** All pieces of a text of the least length, by their hashes (Rabin and Karp, https://doi.org/10.1147/rd.312.0249). */
function createPieces(units: Uint16Array, onFound: (at: number) => void) {
  const placesOf = new Map<number, number[]>()
  const slots = new Uint16Array(SLOTS)
  eachPiece(units, (hash, at) => {
    const places = placesOf.get(hash)
    if (places) places.push(at)
    else placesOf.set(hash, [at])
    if (!places) slots[slotOf(hash)] = (slots[slotOf(hash)] as number) + 1
  })

  /** Says of each piece once where it is, so that a text of the same letter over and over takes no longer. */
  function found(hash: number, text: Uint16Array, at: number): void {
    const places = placesOf.get(hash)
    if (!places) return
    const [same, others] = [places.filter(isHere), places.filter((place) => !isHere(place))]
    for (const place of same) onFound(place)
    placesOf.set(hash, others)
    if (others.length > 0) return
    placesOf.delete(hash)
    slots[slotOf(hash)] = (slots[slotOf(hash)] as number) - 1

    function isHere(place: number): boolean {
      for (let i = 0; i < LEAST; i++) if (units[place + i] !== text[at + i]) return false
      return true
    }
  }

  return {
    findIn(text: Uint16Array): void {
      if (placesOf.size === 0) return
      eachPiece(text, (hash, at) => {
        if (slots[slotOf(hash)] !== 0) found(hash, text, at)
      })
    },
  }
}

function slotOf(hash: number): number {
  return (hash ^ (hash >>> 16)) & (SLOTS - 1)
}

function eachPiece(units: Uint16Array, take: (hash: number, at: number) => void): void {
  let hash = 0
  for (let at = 0; at < units.length; at++) {
    if (at >= LEAST) hash = (hash - Math.imul(units[at - LEAST] as number, FIRST_FACTOR)) | 0
    hash = (Math.imul(hash, FACTOR) + (units[at] as number)) | 0
    if (at >= LEAST - 1) take(hash, at - LEAST + 1)
  }
}

/** The characters of a text that are compared, and where in it each begins and ends. */
type Folded = { units: Uint16Array; starts: Uint32Array; ends: Uint32Array }

function fold(text: string, ignored: Uint8Array): Folded {
  // The one letter that is of another length in lower case.
  const lower = text.replaceAll('\u0130', 'i').toLowerCase()
  const units = new Uint16Array(lower.length)
  const starts = new Uint32Array(lower.length)
  const ends = new Uint32Array(lower.length)
  let length = 0
  for (let at = 0, next = 0; at < lower.length; at = next) {
    let unit = lower.charCodeAt(at)
    next = at + 1
    if (unit === BACKSLASH || unit === AMPERSAND || unit === PERCENT) {
      ENCODED.lastIndex = at
      const found = ENCODED.exec(lower)
      if (found) unit = decoded(found)
      if (found) next = ENCODED.lastIndex
    }
    if (unit < 0x80 ? ignored[unit] === 1 : isInvisible(unit)) continue
    // The sigma at the end of a word is the same letter, and where a word was cut nobody knows its end.
    units[length] = unit === 0x3c2 ? 0x3c3 : unit
    starts[length] = at
    ends[length++] = next
  }
  return { units: units.subarray(0, length), starts, ends }
}

const BACKSLASH = 0x5c
const AMPERSAND = 0x26
const PERCENT = 0x25

/** Of ASCII: control characters, the space, quotation marks, and what begins an encoded character. */
const MARKS = new Uint8Array(0x80).fill(1, 0, 0x21).fill(1, 0x7f)
for (const mark of '"\'`&\\') MARKS[mark.charCodeAt(0)] = 1
/** Of ASCII: all that is no letter and no digit. */
const ALL_MARKS = MARKS.map((_, code) => (/[0-9A-Za-z]/.test(String.fromCharCode(code)) ? 0 : 1))

/** A character as JSON (also when it was escaped several times), HTML and URLs write it, in lower case. */
const ENCODED =
  /(?:\\|%5c)+(?:[bfnrtv]|u([0-9a-f]{4})|x([0-9a-f]{2}))?|&(?:amp;)*(?:#x([0-9a-f]{1,4});|#([0-9]{1,5});|(quot|apos|nbsp|lt|gt);)?|%([0-7][0-9a-f])/y

function decoded([, u, x, entity, decimal, name, percent]: RegExpExecArray): number {
  const hex = u ?? x ?? entity ?? percent
  if (name === 'lt' || name === 'gt') return name === 'lt' ? 0x3c : 0x3e
  if (hex === undefined && decimal === undefined) return 0x20
  const code = hex === undefined ? Number(decimal) : Number.parseInt(hex, 16)
  return String.fromCharCode(code).toLowerCase().charCodeAt(0)
}

/** White space, control characters, what cannot be seen, and quotation marks, beyond ASCII. */
function isInvisible(unit: number): boolean {
  if (unit > 0x206f) return unit === 0x3000 || unit === 0xfeff || unit === 0xfffd
  if (unit < 0x2000) return unit <= 0xa0 || unit === 0xad
  return unit <= 0x200f || (unit >= 0x2018 && unit <= 0x201f) || (unit >= 0x2028 && unit <= 0x202f) || unit >= 0x205f
}

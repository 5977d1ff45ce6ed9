/**
 * A text as it is read, and where in the original each of its units begins and ends. Layers are made of each other: of one
 * with escaped letters comes one without, of that one without white space.
 */
export type Layer = { text: string; from: Uint32Array; to: Uint32Array }

/** What is escaped. In the order of the groups: hexadecimal, octal, a letter, decimal, a name. */
const ESCAPE =
  /(?:%|\\x)([0-9a-f]{2})|\\u\{([0-9a-f]{1,6})\}|\\u([0-9a-f]{4})|&#x([0-9a-f]{1,6});?|\\([0-7]{3})|\\([^ux0-7])|&#([0-9]{1,7});?|&(amp|lt|gt|quot|apos|nbsp);/gi
/** What each of these begins with. */
const MAY_ESCAPE = /[%\\&]/
/** The beginning of one at the end of a text. */
const UNFINISHED = /(?:%[0-9a-f]?|\\(?:x[0-9a-f]?|u(?:[0-9a-f]{0,3}|\{[0-9a-f]{0,6})|[0-7]{0,2})|&[#a-z0-9]{0,8})$/i
const NAMED: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'", nbsp: ' ' }
/** What white space is written as behind a backslash. */
const BLANK_LETTERS = 'bfnrtv'
/** White space, what takes no space at all or turns around what stands beside it, and what is set upon a letter. */
const BLANK = /[\s\p{Cc}\p{Cf}\p{M}\u115f\u1160\u3164\uffa0]/u
/** The first half of tags, which take no space either. */
const TAG = 0xdb40

/** The first layer of a text. */
export function firstLayer(text: string): Layer {
  const from = Uint32Array.from({ length: text.length }, (_, at) => at)
  return { text, from, to: from.map((at) => at + 1) }
}

/** The layer in lower case, where that is of the same length. */
export function lowered({ text, from, to }: Layer): Layer {
  const whole = text.toLowerCase()
  if (whole.length === text.length) return { text: whole, from, to }
  const each = Array.from({ length: text.length }, (_, at) => {
    const unit = text[at] as string
    return unit.toLowerCase().length === 1 ? unit.toLowerCase() : unit
  })
  return { text: each.join(''), from, to }
}

/** A layer without white space. What is escaped has to be decoded before: `% 3a` is no colon. */
export function withoutBlanks(layer: Layer): Layer {
  return only(layer, (unit, code, at) => (code < 0x80 ? code > 0x20 && code < 0x7f : !isBlank(layer, unit, code, at)))
}

const HAS_DIGIT = /[0-9]/
const IS_WORD = Uint8Array.from({ length: 0x80 }, (_, code) => (/[0-9a-z]/i.test(String.fromCharCode(code)) ? 1 : 0))

/** What numbers the items of a list. */
const NUMBERING = /"\d{1,6}"\s{0,64}:|^[^\S\n]{0,64}\d{1,6}[.):](?=\s)/gm

/**
 * A layer of letters and digits alone: what is left of a word whose letters have been quoted, joined with hyphens or
 * colons, or made a list, which may be numbered.
 */
export function lettersOnly(layer: Layer): Layer {
  const isNumbering = HAS_DIGIT.test(layer.text) ? new Uint8Array(layer.text.length) : null
  for (const { index, 0: found } of isNumbering ? layer.text.matchAll(NUMBERING) : []) {
    isNumbering?.fill(1, index, index + found.length)
  }
  return only(
    layer,
    (unit, code, at) =>
      isNumbering?.[at] !== 1 && (code < 0x80 ? IS_WORD[code] === 1 : !isBlank(layer, unit, code, at)),
  )
}

function isBlank({ text }: Layer, unit: string, code: number, at: number): boolean {
  return code === TAG || (code >= 0xdc00 && text.charCodeAt(at - 1) === TAG) || BLANK.test(unit)
}

function only({ text, from, to }: Layer, isKept: (unit: string, code: number, at: number) => boolean): Layer {
  const writing = createWriting(text.length)
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (isKept(text[at] as string, code, at)) writing.add(code, from[at] as number, to[at] as number)
  }
  return writing.layer()
}

/** The layer with what is escaped in it decoded, once; null when nothing is. Bytes that are escaped become Latin-1. */
export function decodeLayer(layer: Layer, isCut: boolean): Layer | null {
  const text = isCut ? unfinished(layer.text) : layer.text
  if (!MAY_ESCAPE.test(text)) return null
  const writing = createWriting(text.length * 2)
  let at = 0
  const keepUpTo = (end: number) => {
    for (; at < end; at++) writing.add(text.charCodeAt(at), layer.from[at] as number, layer.to[at] as number)
  }
  for (const match of text.matchAll(ESCAPE)) {
    keepUpTo(match.index)
    at = match.index + match[0].length
    const units = decoded(match)
    for (let i = 0; i < units.length; i++) {
      writing.add(units.charCodeAt(i), layer.from[match.index] as number, layer.to[at - 1] as number)
    }
  }
  if (at === 0) return null
  keepUpTo(text.length)
  return writing.layer()
}

/** The text without the beginning of an escaped letter at its end. */
export function unfinished(text: string): string {
  // No longer than the longest: a search through all of a long text for what stands at its end would be slow.
  const tail = text.slice(-12)
  return text.slice(0, text.length - tail.length) + tail.replace(UNFINISHED, '')
}

/** UTF-16 units. */
function decoded([, byte, long, unit, html, octal, letter, decimal, name]: RegExpExecArray): string {
  if (letter !== undefined) return BLANK_LETTERS.includes(letter) ? '' : letter
  if (name !== undefined) return NAMED[name.toLowerCase()] as string
  const hex = byte ?? long ?? unit ?? html
  const code =
    hex !== undefined ? Number.parseInt(hex, 16) : octal !== undefined ? Number.parseInt(octal, 8) : Number(decimal)
  return code > 0x10_ffff ? '' : String.fromCodePoint(code)
}

/** How a byte is written in a list of numbers, in each base; what numbers the items comes first, and is left out. */
const NUMBERS: readonly [RegExp, number][] = [
  [/"\d{1,6}"\s{0,64}:|(?<![\w.])(?:0x|u\+0{0,4})([0-9a-f]{1,2})(?!\w)/gi, 16],
  [/"\d{1,6}"\s{0,64}:|(?<![\w.])([0-9]{1,3})(?![\w.])/g, 10],
  [/"\d{1,6}"\s{0,64}:|(?<![\w.])(?:0o?)?([0-3]?[0-7]{2})(?![\w.])/gi, 8],
  [/"\d{1,6}"\s{0,64}:|(?<![\w.])(?:0b)?([01]{7,8})(?![\w.])/gi, 2],
]
/** Units between two numbers of one list, and numbers that make a list. */
const MOST_BETWEEN = 80
const LEAST_NUMBERS = 4
const HAS_NUMBERS = /(?:[0-9]{1,8}[^0-9]+){3}[0-9]/

/** Layers of the bytes that stand in a layer as lists of numbers: in hexadecimal, decimal, octal and binary. */
export function numberLayers(layer: Layer): Layer[] {
  if (!HAS_NUMBERS.test(layer.text)) return []
  return NUMBERS.flatMap(([pattern, base]) => numbersOf(layer, pattern, base) ?? [])
}

function numbersOf({ text, from, to }: Layer, pattern: RegExp, base: number): Layer | null {
  const writing = createWriting(text.length)
  let last = 0
  let numbers = 0
  for (const { index, 0: found, 1: digits } of text.matchAll(pattern)) {
    const isOne = index - last <= MOST_BETWEEN && !/[0-9a-z]/i.test(text.slice(last, index))
    const end = index + found.length
    // What no text has stands between two lists.
    if (!isOne && last > 0) writing.add(0, from[last - 1] as number, to[last - 1] as number)
    last = end
    if (digits === undefined) continue
    numbers++
    writing.add(Number.parseInt(digits, base) & 0xff, from[index] as number, to[end - 1] as number)
  }
  return numbers < LEAST_NUMBERS ? null : writing.layer()
}

/** Writes a layer, of at most so many units. */
export function createWriting(most: number) {
  const units = new Uint16Array(most)
  const from = new Uint32Array(most)
  const to = new Uint32Array(most)
  let length = 0
  return {
    add(unit: number, begin: number, end: number): void {
      units[length] = unit
      from[length] = begin
      to[length++] = end
    },
    layer: (): Layer => ({
      // The faster one of each length.
      text:
        length < 256
          ? String.fromCharCode(...units.subarray(0, length))
          : Buffer.from(units.buffer, 0, length * 2).toString('utf16le'),
      from: from.subarray(0, length),
      to: to.subarray(0, length),
    }),
  }
}

/**
 * A text as it is read: in lower case, and where in the original each of its units begins and ends.
 */
export type Layer = { text: string; from: Uint32Array; to: Uint32Array }

/** What is escaped, in lower case. In the order of the groups: hexadecimal, octal, a letter, decimal, a name. */
const ESCAPE =
  /(?:%|\\x)([0-9a-f]{2})|\\u\{([0-9a-f]{1,6})\}|\\u([0-9a-f]{4})|&#x([0-9a-f]{1,6});?|\\([0-7]{3})|\\([^ux0-7])|&#([0-9]{1,7});?|&(amp|lt|gt|quot|apos|nbsp);/g
/** The beginning of one at the end of a text. */
const UNFINISHED = /(?:%[0-9a-f]?|\\(?:x[0-9a-f]?|u(?:[0-9a-f]{0,3}|\{[0-9a-f]{0,6})|[0-7]{0,2})|&[#a-z0-9]{0,8})$/
const NAMED: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'", nbsp: ' ' }
/** What white space is written as behind a backslash. */
const BLANK_LETTERS = 'bfnrtv'
/** White space, and what takes no space at all. */
const BLANK = /[\s\u00ad\u200b-\u200f\u2060-\u2064]/

/** The first layer of a text. */
export function firstLayer(text: string): Layer {
  const writing = createWriting(text.length)
  for (let at = 0; at < text.length; at++) writing.add(text[at] as string, at, at + 1)
  return writing.layer()
}

/** A layer without white space. What is escaped has to be decoded before: `% 3a` is no colon. */
export function withoutBlanks({ text, from, to }: Layer): Layer {
  const writing = createWriting(text.length)
  for (let at = 0; at < text.length; at++) {
    const unit = text[at] as string
    if (!BLANK.test(unit)) writing.add(unit, from[at] as number, to[at] as number)
  }
  return writing.layer()
}

/** The layer with what is escaped in it decoded, once; null when nothing is. Bytes that are escaped become Latin-1. */
export function decodeLayer(layer: Layer, isCut: boolean): Layer | null {
  const text = isCut ? unfinished(layer.text) : layer.text
  const writing = createWriting(text.length * 2)
  let at = 0
  const keepUpTo = (end: number) => {
    for (; at < end; at++) writing.add(text[at] as string, layer.from[at] as number, layer.to[at] as number)
  }
  for (const match of text.matchAll(ESCAPE)) {
    keepUpTo(match.index)
    at = match.index + match[0].length
    for (const unit of decoded(match)) writing.add(unit, layer.from[match.index] as number, layer.to[at - 1] as number)
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
function decoded([, byte, long, unit, html, octal, letter, decimal, name]: RegExpExecArray): string[] {
  if (letter !== undefined) return BLANK_LETTERS.includes(letter) ? [] : [letter]
  if (name !== undefined) return [NAMED[name] as string]
  const hex = byte ?? long ?? unit ?? html
  const code =
    hex !== undefined ? Number.parseInt(hex, 16) : octal !== undefined ? Number.parseInt(octal, 8) : Number(decimal)
  return code > 0x10_ffff ? [] : String.fromCodePoint(code).split('')
}

function createWriting(most: number) {
  const from = new Uint32Array(most)
  const to = new Uint32Array(most)
  const units: string[] = []
  return {
    add(unit: string, begin: number, end: number): void {
      const folded = unit.toLowerCase()
      from[units.length] = begin
      to[units.length] = end
      units.push(folded.length === 1 ? folded : unit)
    },
    layer: (): Layer => ({ text: units.join(''), from, to }),
  }
}

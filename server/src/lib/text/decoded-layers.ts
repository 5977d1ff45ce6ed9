import { createWriting, type Layer, numberLayers, withoutBlanks } from './text-layers.ts'

/** Letters of an encoding that may be a text and no word: fewer are not decoded. */
const SHORTEST_RUN = 16
const HEX_RUN = /[0-9a-f](?:[\s:,-]{0,2}[0-9a-f]){15,}/gi
const BASE64_RUN = /[\w+/-]{16,}/g
const BASE64_ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'
const BITS_OF = new Map([...BASE64_ALPHABET].map((letter, bits) => [letter, bits]))
BITS_OF.set('-', 62).set('_', 63)

/**
 * What may be encoded in a layer, in hexadecimal, in base64 or as a list of numbers, wherever in it that begins: UTF-8 that
 * is decoded. Each is a layer of its own; none where nothing is long enough.
 */
export function decodedLayers(layer: Layer): Layer[] {
  const compact = withoutBlanks(layer)
  const found = [
    ...[0, 1].map((skip) => fromDigits(layer, HEX_RUN, skip, { perDigit: 4, toValue: hexValue })),
    ...[0, 1, 2, 3].map((skip) => fromDigits(compact, BASE64_RUN, skip, { perDigit: 6, toValue: base64Value })),
    ...numberLayers(layer),
  ]
  return found.flatMap((one) => (one && one.text.length >= SHORTEST_RUN / 2 ? [fromUtf8(one)] : []))
}

function hexValue(letter: string): number | undefined {
  const value = Number.parseInt(letter, 16)
  return Number.isNaN(value) ? undefined : value
}

function base64Value(letter: string): number | undefined {
  return BITS_OF.get(letter)
}

/** The bytes of all runs of digits in a layer, each without its first `skip` ones; what is no digit is passed over. */
function fromDigits(
  { text, from, to }: Layer,
  run: RegExp,
  skip: number,
  { perDigit, toValue }: { perDigit: number; toValue(letter: string): number | undefined },
): Layer | null {
  const writing = createWriting(text.length)
  let isEmpty = true
  for (const { index, 0: found } of text.matchAll(run)) {
    isEmpty = false
    let [value, bits, begin, left] = [0, 0, -1, skip]
    for (let at = index; at < index + found.length; at++) {
      const digit = toValue(text[at] as string)
      if (digit === undefined || left-- > 0) continue
      if (begin < 0) begin = at
      value = ((value << perDigit) | digit) & 0xffff
      bits += perDigit
      if (bits < 8) continue
      bits -= 8
      writing.add((value >> bits) & 0xff, from[begin] as number, to[at] as number)
      // The letter that is shared with the next byte is of both.
      begin = bits > 0 ? at : -1
    }
    // What no text has stands between two runs.
    const last = index + found.length - 1
    writing.add(0, from[last] as number, to[last] as number)
  }
  return isEmpty ? null : writing.layer()
}

/** Lengths of what begins with a byte in UTF-8, or 1 for what begins nothing. */
function lengthOf(byte: number): number {
  return byte >= 0xf0 && byte < 0xf8 ? 4 : byte >= 0xe0 && byte < 0xf0 ? 3 : byte >= 0xc2 && byte < 0xe0 ? 2 : 1
}

/** A layer of bytes, with what is UTF-8 in it decoded; the other bytes stay. */
export function fromUtf8({ text, from, to }: Layer): Layer {
  const writing = createWriting(text.length)
  for (let at = 0; at < text.length; ) {
    const length = lengthOf(text.charCodeAt(at))
    const bytes = text.slice(at, at + length)
    const isWhole = length > 1 && bytes.length === length && /^.[\x80-\xbf]+$/s.test(bytes)
    const read = isWhole ? Buffer.from(bytes, 'latin1').toString('utf8') : (text[at] as string)
    const end = isWhole ? at + length : at + 1
    for (let i = 0; i < read.length; i++) {
      writing.add(read.charCodeAt(i), from[at] as number, to[end - 1] as number)
    }
    at = end
  }
  return writing.layer()
}

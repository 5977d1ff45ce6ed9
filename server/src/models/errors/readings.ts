import { decodedLayers, fromUtf8 } from '../../lib/text/decoded-layers.ts'
import { createWriting, decodeLayer, firstLayer, type Layer } from '../../lib/text/text-layers.ts'

/** Escapes, and encodings, that may lie on top of each other. */
const MOST_ESCAPES = 3
const MOST_ENCODINGS = 2
/** All ways to read one text: with more it says what nobody reads. */
const MOST_READINGS = 256

/**
 * What a short text may say to one who decodes it: as it is, with its escapes decoded, with pluses for spaces, what is in
 * hexadecimal, base64 or lists of bytes, also in one of these within one of these, and all that backwards.
 */
export function readingsOf(text: string): Layer[] {
  const first = firstLayer(text)
  const forwards = decodedIn(first)
  const encoded = decodedIn(backwards(first)).filter((layer) => layer.text.length < text.length)
  return [...forwards, ...encoded, ...forwards.map(backwards)].slice(0, MOST_READINGS)
}

function decodedIn(first: Layer): Layer[] {
  const escaped = [first]
  while (escaped.length <= MOST_ESCAPES) {
    const next = decodeLayer(escaped.at(-1) as Layer, false)
    if (!next) break
    escaped.push(next)
  }
  let encoded = escaped
  const readings = [...escaped, ...escaped.slice(1).map(fromUtf8)]
  for (let depth = 0; depth < MOST_ENCODINGS; depth++) {
    encoded = encoded.flatMap(decodedLayers)
    readings.push(...encoded)
  }
  const forms = readings
    .filter((layer) => layer.text.includes('+'))
    .map((layer) => ({ ...layer, text: layer.text.replaceAll('+', ' ') }))
  return [...readings, ...forms]
}

/** A layer from its end to its beginning; a character of two units stays as it is. */
function backwards({ text, from, to }: Layer): Layer {
  const writing = createWriting(text.length)
  for (let at = text.length; at > 0; ) {
    const begin = at > 1 && (text.codePointAt(at - 2) as number) > 0xffff ? at - 2 : at - 1
    for (let unit = begin; unit < at; unit++) {
      writing.add(text.charCodeAt(unit), from[unit] as number, to[unit] as number)
    }
    at = begin
  }
  return writing.layer()
}

import { letOthersRun } from '../../../lib/fairness/let-others-run.ts'

/** Bytes that are looked at before others get their turn: about 5 ms. */
const SLICE = 512 * 1_024

/** Levels of a JSON file. `JSON.parse` itself ends at some thousands, with an error that is hard to tell. */
const MOST_LEVELS = 10_000

/** What a value may be, what it has to be, and what stands behind one. */
const VALUE = 0
const FIRST_ITEM = 1
const FIRST_NAME = 2
const NAME = 3
const COLON = 4
const BEHIND = 5

const code = (sign: string): number => sign.charCodeAt(0)
const QUOTE = code('"')
const BACKSLASH = code('\\')
const OPEN_LIST = code('[')
const CLOSE_LIST = code(']')
const OPEN_OBJECT = code('{')
const CLOSE_OBJECT = code('}')

/** What may stand in a number or a word, each of which is checked as a whole. */
const IN_SCALAR = new Uint8Array(256)
for (const sign of '+-.0123456789Eaeflnrstu') IN_SCALAR[code(sign)] = 1
const SCALAR = /^(?:true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)$/

/** Bytes of the longest number that is taken; nobody reads one of a thousand digits. */
const LONGEST_SCALAR = 1_000

const ESCAPED = new Uint8Array(256)
for (const sign of '"\\/bfnrt') ESCAPED[code(sign)] = 1

/**
 * Whether UTF-8 bytes are JSON (RFC 8259), of at most 10,000 levels. In slices and without building anything: `JSON.parse`
 * takes a second and hundreds of megabytes for 10 MB of brackets, and nothing of what it makes is needed.
 */
export async function isJson(bytes: Uint8Array): Promise<boolean> {
  const levels: number[] = []
  let expected = VALUE
  let at = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? 3 : 0
  let next = at + SLICE

  while (at < bytes.length) {
    if (at >= next) {
      next = at + SLICE
      await letOthersRun()
    }
    const byte = bytes[at] as number
    if (byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09) {
      at++
    } else if (byte === QUOTE) {
      if (expected === COLON || expected === BEHIND) return false
      at = endOfString(bytes, at + 1)
      while (at < -1) {
        await letOthersRun()
        at = endOfString(bytes, -at - 2)
      }
      if (at === -1) return false
      expected = expected === NAME || expected === FIRST_NAME ? COLON : BEHIND
    } else if (byte === code(':')) {
      if (expected !== COLON) return false
      expected = VALUE
      at++
    } else if (byte === code(',')) {
      if (expected !== BEHIND || levels.length === 0) return false
      expected = levels.at(-1) === OPEN_OBJECT ? NAME : VALUE
      at++
    } else if (byte === CLOSE_LIST || byte === CLOSE_OBJECT) {
      const isList = byte === CLOSE_LIST
      if (expected !== BEHIND && expected !== (isList ? FIRST_ITEM : FIRST_NAME)) return false
      if (levels.pop() !== (isList ? OPEN_LIST : OPEN_OBJECT)) return false
      expected = BEHIND
      at++
    } else if (expected !== VALUE && expected !== FIRST_ITEM) {
      return false
    } else if (byte === OPEN_LIST || byte === OPEN_OBJECT) {
      if (levels.push(byte) > MOST_LEVELS) return false
      expected = byte === OPEN_LIST ? FIRST_ITEM : FIRST_NAME
      at++
    } else {
      at = endOfScalar(bytes, at)
      if (at === -1) return false
      expected = BEHIND
    }
  }
  return expected === BEHIND && levels.length === 0
}

/**
 * The place behind a string of which `start` is inside; -1 when it is none. When it does not end within a slice, what to
 * go on from: -2 minus the place.
 */
function endOfString(bytes: Uint8Array, start: number): number {
  for (let at = start; at < bytes.length; at++) {
    if (at - start >= SLICE) return -at - 2
    const byte = bytes[at] as number
    if (byte === QUOTE) return at + 1
    if (byte < 0x20) return -1
    if (byte !== BACKSLASH) continue
    at++
    if (bytes[at] === code('u')) {
      const digits = String.fromCharCode(...bytes.subarray(at + 1, at + 5))
      if (!/^[0-9a-f]{4}$/i.test(digits)) return -1
      at += 4
    } else if (ESCAPED[bytes[at] ?? 0] !== 1) {
      return -1
    }
  }
  return -1
}

function endOfScalar(bytes: Uint8Array, start: number): number {
  let end = start
  while (end < bytes.length && end - start <= LONGEST_SCALAR && IN_SCALAR[bytes[end] as number] === 1) end++
  return SCALAR.test(String.fromCharCode(...bytes.subarray(start, end))) ? end : -1
}

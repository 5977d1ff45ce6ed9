import { promisify } from 'node:util'
import { constants, inflate } from 'node:zlib'
import { letOthersRun } from '../../../lib/fairness/let-others-run.ts'

/** How much there is in a PDF file: pages, and characters of text on all of them together. */
export type PdfSize = { pages: number; characters: number }

/** Bytes of a page where the file does not say how many it has. */
const PAGE_BYTES = 50_000
/** As many pages as a provider takes, for a file that hides how many it has. */
const MOST_PAGES = 100
/** Characters of a file that are looked at, those that were unpacked included: what has more hides its pages. */
const MOST_READ = 4 * 1_024 * 1_024
const MOST_STREAMS = 20_000
/** Pages that are counted one by one. */
const MOST_COUNTED = 10_000
/** Characters of the dictionary of a stream; a longer one hides what it says. */
const MOST_DICTIONARY = 4_096
/** Streams, and bytes, that are looked at before others get their turn. */
const STREAMS_AT_ONCE = 100
const READ_AT_ONCE = 1_024 * 1_024

/** UTF-16 units that are looked at before others get their turn, and how far a thing may reach into the next piece. */
const SLICE = 128 * 1_024
const OVERLAP = 512
/** Characters of a list of kids; a longer one hides what it leads to. */
const MOST_KIDS = 65_536

const unpack = promisify(inflate)

/**
 * How large a PDF file is for whoever reads it. Pages are counted in what stands open and in packed objects; where more is
 * packed than is looked at, or the tree of pages leads to one page by two ways, the most is taken that a provider would
 * read. Unpacking is done by another thread.
 */
export async function measurePdf(bytes: Uint8Array): Promise<PdfSize> {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const { open, streams } = await takeApart(file)
  const isEncrypted = /\/Encrypt\b/.test(open)
  const texts = [open.slice(0, MOST_READ)]
  let left = MOST_READ - open.length
  let hidesPages = streams.length >= MOST_STREAMS || left < 0
  for (const [i, { dictionary, from, to }] of streams.entries()) {
    if (i % STREAMS_AT_ONCE === 0) await letOthersRun()
    if (dictionary.length > MOST_DICTIONARY) {
      hidesPages = true
      continue
    }
    const holdsObjects = /\/ObjStm\b/.test(dictionary)
    if (!holdsObjects && !mayHoldText(dictionary)) continue
    const unpacked = isEncrypted ? null : await unpackedOf(dictionary, file.subarray(from, to), left)
    if (unpacked === null) hidesPages ||= holdsObjects
    else {
      left -= unpacked.length
      texts.push(unpacked)
    }
  }
  const text = await plainText(texts.join('\n'))
  const seen = await pagesIn(text)
  const pages = hidesPages ? Math.max(MOST_PAGES, seen) : seen
  return { pages: pages || Math.ceil(bytes.length / PAGE_BYTES), characters: await charactersIn(text) }
}

type Stream = { dictionary: string; from: number; to: number }

/** What stands outside of streams, and where those are. */
async function takeApart(file: Buffer): Promise<{ open: string; streams: Stream[] }> {
  const pieces: string[] = []
  const streams: Stream[] = []
  let at = 0
  let rested = 0
  while (streams.length < MOST_STREAMS) {
    if (at - rested > READ_AT_ONCE || streams.length % STREAMS_AT_ONCE === 0) {
      await letOthersRun()
      rested = at
    }
    const begin = file.indexOf('stream', at, 'latin1')
    const end = begin < 0 ? -1 : file.indexOf('endstream', begin + 6, 'latin1')
    if (end < 0) break
    const before = file.toString('latin1', at, begin)
    pieces.push(before)
    const isLineEnd = (unit: number | undefined) => unit === 10 || unit === 13
    let from = begin + 6
    while (isLineEnd(file[from])) from++
    const dictionary = before.slice(before.lastIndexOf('obj') + 3)
    const isLong = dictionary.length > MOST_DICTIONARY
    streams.push({ dictionary: isLong ? dictionary : withPlainNames(dictionary), from, to: end })
    at = end + 9
  }
  pieces.push(file.toString('latin1', at))
  return { open: pieces.join('\n'), streams }
}

/** Pictures, fonts and the like have no text. */
function mayHoldText(dictionary: string): boolean {
  return !/\/(?:Image|FontFile\d?|Length1|XRef|Metadata|ICCBased|N)\b/.test(dictionary)
}

/** Null for what is packed in another way than nearly all are, or is more than `most` bytes. */
async function unpackedOf(dictionary: string, packed: Buffer, most: number): Promise<string | null> {
  if (!/\/Filter\b/.test(dictionary)) return packed.length <= most ? packed.toString('latin1') : null
  if (!/\/Filter\s{0,20}\[?\s{0,20}\/(?:FlateDecode|Fl)\b\s{0,20}(?:\]|\/(?!\w{0,40}Decode)|>|$|\s)/.test(dictionary))
    return null
  if (/\/Predictor\s{1,20}(?!1\b)/.test(dictionary) || most <= 0) return null
  const options = { maxOutputLength: most, finishFlush: constants.Z_SYNC_FLUSH }
  return unpack(packed, options).then(
    (text) => text.toString('latin1'),
    () => null,
  )
}

/** A name may be written with `#` and two digits for each of its characters. */
function withPlainNames(text: string): string {
  if (!text.includes('#')) return text
  return text.replaceAll(/#([0-9A-Fa-f]{2})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 16)))
}

/** The text in pieces, each with the beginning of the next behind it. Others get their turn between two of them. */
async function* piecesOf(text: string): AsyncGenerator<string> {
  for (let at = 0; at < text.length; at += SLICE) {
    if (at > 0) await letOthersRun()
    yield text.slice(at, at + SLICE + OVERLAP)
  }
}

async function plainText(text: string): Promise<string> {
  const plain: string[] = []
  for await (const piece of piecesOf(text)) plain.push(withPlainNames(piece.slice(0, SLICE)))
  return plain.join('')
}

async function pagesIn(text: string): Promise<number> {
  let seen = 0
  let most = 0
  for await (const piece of piecesOf(text)) {
    for (const { index } of piece.matchAll(/\/Type\s{0,100}\/Page(?![A-Za-z])/g)) if (index < SLICE) seen++
    for (const [, count] of piece.matchAll(/\/Type\s{0,100}\/Pages\b[^>]{0,200}?\/Count\s{1,100}(\d{1,6})\b/g)) {
      most = Math.max(most, Number(count))
    }
  }
  const kids = await kidsIn(text)
  // In a tree no page has two places: with such a one there may be any number.
  const isNoTree = new Set(kids).size < kids.length
  return Math.max(seen, kids.length, most, isNoTree ? MOST_PAGES : 0)
}

/** What the tree of pages leads to, by its numbers. */
async function kidsIn(text: string): Promise<string[]> {
  const kids: string[] = []
  // Not one expression: what is never closed would be read to the end again and again.
  for (let at = text.indexOf('/Kids'); at >= 0 && kids.length < MOST_COUNTED; at = text.indexOf('/Kids', at + 5)) {
    const end = text.indexOf(']', at)
    if (end < 0) break
    await letOthersRun()
    // Twice the same is no tree, and so counts as many.
    if (end - at > MOST_KIDS) return ['0', '0']
    for (const [kid] of text.slice(at, end).matchAll(/\d{1,10}\s{1,4}\d{1,5}\s{1,4}R\b/g)) {
      kids.push(kid)
      if (kids.length === MOST_COUNTED) break
    }
    at = end
  }
  return kids
}

/** Those that the pages show, about: a page may show what another shows too. */
async function charactersIn(text: string): Promise<number> {
  const uses = new Map<string, number>()
  const scan = createTextScan()
  for await (const piece of piecesOf(text)) {
    scan.read(piece.slice(0, SLICE))
    for (const { 1: number = '', index } of piece.matchAll(/\/Contents[\s[]{0,9}(\d{1,10})\s{1,4}\d{1,5}\s{1,4}R\b/g)) {
      if (index < SLICE) uses.set(number, (uses.get(number) ?? 0) + 1)
    }
  }
  return Math.ceil(scan.characters()) * [...uses.values()].reduce((most, times) => Math.max(most, times), 1)
}

const [OPEN, CLOSE, BACKSLASH, LESS, GREATER] = [40, 41, 92, 60, 62]
/** Two digits make a byte, and often two bytes a character. */
const DIGITS_A_CHARACTER = 4

/**
 * Counts what stands in round brackets, and in pointed ones as hexadecimal digits: once through, letter by letter, since
 * one text may be as long as the file.
 */
function createTextScan() {
  let characters = 0
  /** How long the text is that is being read, null outside of one. */
  let text: number | null = null
  let digits: number | null = null
  let isEscaped = false

  function take(unit: number): void {
    if (isEscaped) {
      isEscaped = false
      if (text !== null) text += 2
      return
    }
    if (unit === BACKSLASH) isEscaped = true
    else if (unit === OPEN) text = 0
    else if (unit === CLOSE) {
      characters += text ?? 0
      text = null
    } else if (text !== null) text++
    if (unit === LESS) digits = 0
    else if (unit === GREATER) {
      if (digits !== null && digits >= DIGITS_A_CHARACTER) characters += digits / DIGITS_A_CHARACTER
      digits = null
    } else if (digits !== null) digits = isHexOrBlank(unit) ? digits + 1 : null
  }

  return {
    read(piece: string): void {
      for (let at = 0; at < piece.length; at++) take(piece.charCodeAt(at))
    },
    characters: () => characters,
  }
}

function isHexOrBlank(unit: number): boolean {
  const letter = unit | 32
  return (unit >= 48 && unit <= 57) || (letter >= 97 && letter <= 102) || unit === 32 || (unit >= 9 && unit <= 13)
}

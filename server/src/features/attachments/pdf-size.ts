import { promisify } from 'node:util'
import { constants, inflate } from 'node:zlib'

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

const unpack = promisify(inflate)

/**
 * How large a PDF file is for whoever reads it. Pages are counted in what stands open and in packed objects; where more is
 * packed than is looked at, or the tree of pages leads to one page by two ways, the most is taken that a provider would
 * read. Unpacking is done by another thread.
 */
export async function measurePdf(bytes: Uint8Array): Promise<PdfSize> {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const { open, streams } = takeApart(file)
  const isEncrypted = /\/Encrypt\b/.test(open)
  const texts = [open.slice(0, MOST_READ)]
  let left = MOST_READ - open.length
  let hidesPages = streams.length >= MOST_STREAMS || left < 0
  for (const { dictionary, from, to } of streams) {
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
  const text = withPlainNames(texts.join('\n'))
  const pages = hidesPages ? Math.max(MOST_PAGES, pagesIn(text)) : pagesIn(text)
  return { pages: pages || Math.ceil(bytes.length / PAGE_BYTES), characters: charactersIn(text) }
}

type Stream = { dictionary: string; from: number; to: number }

/** What stands outside of streams, and where those are. */
function takeApart(file: Buffer): { open: string; streams: Stream[] } {
  const pieces: string[] = []
  const streams: Stream[] = []
  let at = 0
  while (streams.length < MOST_STREAMS) {
    const begin = file.indexOf('stream', at, 'latin1')
    const end = begin < 0 ? -1 : file.indexOf('endstream', begin + 6, 'latin1')
    if (end < 0) break
    const before = file.toString('latin1', at, begin)
    pieces.push(before)
    const isLineEnd = (unit: number | undefined) => unit === 10 || unit === 13
    let from = begin + 6
    while (isLineEnd(file[from])) from++
    streams.push({ dictionary: withPlainNames(before.slice(before.lastIndexOf('obj') + 3)), from, to: end })
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
  if (!/\/Filter\s*\[?\s*\/(?:FlateDecode|Fl)\b\s*(?:\]|\/(?!\w*Decode)|>|$|\s)/.test(dictionary)) return null
  if (/\/Predictor\s+(?!1\b)/.test(dictionary) || most <= 0) return null
  const options = { maxOutputLength: most, finishFlush: constants.Z_SYNC_FLUSH }
  return unpack(packed, options).then(
    (text) => text.toString('latin1'),
    () => null,
  )
}

/** A name may be written with `#` and two digits for each of its characters. */
function withPlainNames(text: string): string {
  if (!/\/\w*#[0-9A-Fa-f]{2}/.test(text)) return text
  return text.replaceAll(/#([0-9A-Fa-f]{2})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 16)))
}

function pagesIn(text: string): number {
  const seen = text.match(/\/Type\s*\/Page(?![A-Za-z])/g)?.length ?? 0
  const counts = [...text.matchAll(/\/Type\s*\/Pages\b[^>]{0,200}?\/Count\s+(\d{1,6})\b/g)].map((found) =>
    Number(found[1]),
  )
  const kids = kidsIn(text)
  // In a tree no page has two places: with such a one there may be any number.
  const isNoTree = new Set(kids).size < kids.length
  const most = counts.reduce((sum, count) => Math.max(sum, count), 0)
  return Math.max(seen, kids.length, most, isNoTree ? MOST_PAGES : 0)
}

/** What the tree of pages leads to, by its numbers. */
function kidsIn(text: string): string[] {
  const kids: string[] = []
  // Not one expression: what is never closed would be read to the end again and again.
  for (let at = text.indexOf('/Kids'); at >= 0 && kids.length < MOST_COUNTED; at = text.indexOf('/Kids', at + 5)) {
    const end = text.indexOf(']', at)
    if (end < 0) break
    for (const [kid] of text.slice(at, end).matchAll(/\d{1,10}\s{1,4}\d{1,5}\s{1,4}R\b/g)) {
      kids.push(kid)
      if (kids.length === MOST_COUNTED) break
    }
    at = end
  }
  return kids
}

/** Those that the pages show, about: a page may show what another shows too. */
function charactersIn(text: string): number {
  let shown = 0
  // Not from a bracket behind a backslash: from each of many it would be read to the end.
  for (const [said = ''] of text.matchAll(/(?<!\\)\((?:[^()\\]|\\.)*\)|<[0-9A-Fa-f\s]{4,}>/g)) {
    shown += said.startsWith('<') ? (said.length - 2) / 4 : said.length - 2
  }
  const uses = new Map<string, number>()
  for (const [, number = ''] of text.matchAll(/\/Contents[\s[]{0,9}(\d{1,10})\s{1,4}\d{1,5}\s{1,4}R\b/g)) {
    uses.set(number, (uses.get(number) ?? 0) + 1)
  }
  return Math.ceil(shown) * [...uses.values()].reduce((most, times) => Math.max(most, times), 1)
}

import { letOthersRun } from '../../lib/let-others-run.ts'
import { estimateTokens } from '../../lib/token-estimate.ts'
import { isText, textOf } from './media-type.ts'

/** What a large image costs with most providers; a small one costs less. */
const IMAGE_TOKENS = 1_600
/** A page of a PDF file is sent as its text and as an image: Anthropic says 1,500 to 3,000 for the text alone. */
const PAGE_TOKENS = 3_000
/** Bytes of a page where the file does not say how many it has. */
const PAGE_BYTES = 50_000
/** The name of the file and what stands around its text. */
const FRAME_TOKENS = 32

/** How much of a file is looked at before others get their turn: some milliseconds. */
const SLICE = 512 * 1_024
/** The longest that is looked for, and more: it may begin in one slice and end in the next. */
const OVERLAP = 500

/** About how many tokens a file takes in a prompt. */
export async function estimateFileTokens(mediaType: string, bytes: Uint8Array): Promise<number> {
  if (isText(mediaType)) return (await countTextTokens(bytes)) + FRAME_TOKENS
  return mediaType === 'application/pdf' ? (await countPages(bytes)) * PAGE_TOKENS : IMAGE_TOKENS
}

async function countTextTokens(bytes: Uint8Array): Promise<number> {
  const text = textOf(bytes)
  let tokens = 0
  for (let at = 0; at < text.length; at += SLICE) {
    if (at > 0) await letOthersRun()
    tokens += estimateTokens(text.slice(at, at + SLICE))
  }
  return tokens
}

/**
 * About how many pages a PDF file has: the pages that can be seen in it, or the number that the tree of pages gives. Both
 * may be compressed; then its size has to do.
 */
export async function countPages(bytes: Uint8Array): Promise<number> {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let seen = 0
  let counted = 0
  for (let at = 0; at < buffer.length; at += SLICE) {
    if (at > 0) await letOthersRun()
    const text = buffer.toString('latin1', at, at + SLICE + OVERLAP)
    for (const { index } of text.matchAll(/\/Type\s{0,100}\/Page(?![A-Za-z])/g)) if (index < SLICE) seen++
    for (const [, count] of text.matchAll(/\/Type\s{0,100}\/Pages\b[^>]{0,200}?\/Count\s{1,100}(\d{1,6})\b/g)) {
      counted = Math.max(counted, Number(count))
    }
  }
  return Math.max(seen, counted) || Math.ceil(bytes.length / PAGE_BYTES)
}

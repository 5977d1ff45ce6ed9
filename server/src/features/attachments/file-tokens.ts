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

/** About how many tokens a file takes in a prompt. */
export function estimateFileTokens(mediaType: string, bytes: Uint8Array): number {
  if (isText(mediaType)) return estimateTokens(textOf(bytes)) + FRAME_TOKENS
  return mediaType === 'application/pdf' ? countPages(bytes) * PAGE_TOKENS : IMAGE_TOKENS
}

/**
 * About how many pages a PDF file has: the pages that can be seen in it, or the number that the tree of pages gives. Both
 * may be compressed; then its size has to do.
 */
export function countPages(bytes: Uint8Array): number {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1')
  const seen = text.match(/\/Type\s*\/Page(?![A-Za-z])/g)?.length ?? 0
  const counts = [...text.matchAll(/\/Type\s*\/Pages\b[^>]{0,200}?\/Count\s+(\d{1,6})\b/g)].map(([, count]) =>
    Number(count),
  )
  return Math.max(seen, ...counts) || Math.ceil(bytes.length / PAGE_BYTES)
}

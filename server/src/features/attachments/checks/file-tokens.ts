import { letOthersRun } from '../../../lib/fairness/let-others-run.ts'
import { estimateTokens } from '../../../lib/text/token-estimate.ts'
import { isText, textOf } from './media-type.ts'
import { measurePdf } from './pdf-size.ts'

/** What a large image costs with most providers; a small one costs less. */
const IMAGE_TOKENS = 1_600
/** A page of a PDF file is sent as its text and as an image: Anthropic says 1,500 to 3,000 for the text alone. */
const PAGE_TOKENS = 3_000
/** Characters of its text that make a token at most, where a page has more of them than fits on one. */
const CHARACTERS_PER_TOKEN = 2
/** The name of the file and what stands around its text. */
const FRAME_TOKENS = 32

/** How much of a file is looked at before others get their turn: some milliseconds. */
const SLICE = 512 * 1_024

/** About how many tokens a file takes in a prompt. */
export async function estimateFileTokens(mediaType: string, bytes: Uint8Array): Promise<number> {
  if (isText(mediaType)) return (await countTextTokens(bytes)) + FRAME_TOKENS
  if (mediaType !== 'application/pdf') return IMAGE_TOKENS
  const { pages, characters } = await measurePdf(bytes)
  return Math.max(pages * PAGE_TOKENS, pages * IMAGE_TOKENS + Math.ceil(characters / CHARACTERS_PER_TOKEN))
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

import { Readable } from 'node:stream'
import type { FastifyReply } from 'fastify'
import { letOthersRun } from '../../lib/fairness/let-others-run.ts'
import type { OpenPage } from './pagination.ts'

/** Text of an answer that comes piece by piece, each small enough to be made without keeping others waiting. */
export type Pieces = AsyncGenerator<string, void>

/** About how many bytes are read from the database, or printed, before others get their turn. */
export const PIECE_BYTES = 256 * 1_024

/** Bytes of items after which the page of a list ends, whatever its `pageSize`. */
export const PAGE_BYTES = 4 * 1_024 * 1_024

/** UTF-16 units that are gathered before they are sent. */
const GATHERED_LENGTH = 64 * 1_024

/**
 * Answers with pieces: a short answer as one text, a long one as it is made, as fast as its reader takes it, so that only
 * a piece of it is ever in memory. Throws what stands against the first piece, while there can still be another status.
 */
export async function sendPieces(reply: FastifyReply, contentType: string, pieces: Pieces): Promise<FastifyReply> {
  const gathered = gather(pieces)
  const first = await gathered.next()
  reply.type(contentType)
  // Only what comes last is shorter.
  if (first.done || first.value.length < GATHERED_LENGTH) return reply.send(first.value ?? '')
  return reply.send(Readable.from(behind(first.value, gathered)))
}

/** The same for JSON. */
export function sendJson(reply: FastifyReply, pieces: Pieces): Promise<FastifyReply> {
  return sendPieces(reply, 'application/json; charset=utf-8', pieces)
}

async function* gather(pieces: Pieces): Pieces {
  let text = ''
  for await (const piece of pieces) {
    text += piece
    if (text.length < GATHERED_LENGTH) continue
    yield text
    text = ''
  }
  if (text !== '') yield text
}

async function* behind(first: string, rest: Pieces): Pieces {
  yield first
  for await (const piece of rest) {
    // What SQLite reads is there at once, and promises that are fulfilled keep the event loop from coming round.
    await letOthersRun()
    yield piece
  }
}

/** The JSON of an object one member of which is an array whose elements come in pieces, or null. It is the last one. */
export async function* objectWithList(
  fields: object,
  name: string,
  pages: AsyncIterable<readonly string[]> | null,
): Pieces {
  const opening = JSON.stringify(fields).slice(0, -1)
  const member = `${opening === '{' ? '' : ','}${JSON.stringify(name)}:`
  if (pages === null) {
    yield `${opening}${member}null}`
    return
  }
  yield `${opening}${member}[`
  yield* listed(pages)
  yield ']}'
}

/** The JSON of an array whose elements come in pieces. */
export async function* arrayOf(pages: AsyncIterable<readonly string[]>): Pieces {
  yield '['
  yield* listed(pages)
  yield ']'
}

/** JSON texts with commas between them. */
async function* listed(pages: AsyncIterable<readonly string[]>): Pieces {
  let separator = ''
  for await (const page of pages) {
    if (page.length === 0) continue
    yield separator + page.join(',')
    separator = ','
  }
}

/** The JSON of a page of a list. It ends behind the item with which it has passed {@link PAGE_BYTES}. */
export async function* pageOf<T extends { id: string }>(
  { items, tokenBehind, tokenAtEnd }: OpenPage<T>,
  print: (item: T) => AsyncIterable<string>,
): Pieces {
  let bytes = 0
  let token = tokenAtEnd
  let separator = ''
  yield '{"data":['
  for await (const item of items) {
    yield separator
    separator = ','
    for await (const piece of print(item)) {
      bytes += Buffer.byteLength(piece)
      yield piece
    }
    if (bytes < PAGE_BYTES) continue
    token = tokenBehind(item.id)
    break
  }
  yield `],"continuationToken":${JSON.stringify(token)}}`
}

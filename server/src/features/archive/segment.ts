import { createHash } from 'node:crypto'
import { promisify } from 'node:util'
import { gunzip, gzip } from 'node:zlib'
import { BlobError } from '../../blobs/blob-store.ts'
import type { ConversationKey } from '../../lib/conversation-key.ts'
import { parseExactly } from '../../lib/exact-json.ts'
import type { Message } from '../conversations/conversation.ts'

const compress = promisify(gzip)
const decompress = promisify(gunzip)

export const SEGMENT_TYPE = 'application/gzip'

export type Segment = {
  number: number
  firstId: string
  lastId: string
  messageCount: number
  blobKey: string
  /** Of the blob's bytes, hexadecimal. */
  sha256: string
  byteCount: number
}

export type EncodedSegment = { bytes: Uint8Array; sha256: string }

/** Messages as gzip of JSON Lines, one message a line, in order. */
export async function encodeSegment(messages: readonly Message[]): Promise<EncodedSegment> {
  const lines = messages.map((message) => `${JSON.stringify(message)}\n`).join('')
  const bytes = await compress(lines)
  return { bytes, sha256: sha256Of(bytes) }
}

/** The messages of a segment. Throws {@link BlobError} when the bytes are missing, or not those that were written. */
export async function decodeSegment(
  bytes: Uint8Array | null,
  { blobKey, sha256, messageCount }: Pick<Segment, 'blobKey' | 'sha256' | 'messageCount'>,
): Promise<Message[]> {
  if (bytes === null) throw new BlobError(`the blob ${blobKey} is missing`)
  if (sha256Of(bytes) !== sha256)
    throw new BlobError(`the blob ${blobKey} is not what was written: its checksum differs`)
  const lines = (await decompress(bytes)).toString('utf8').split('\n').slice(0, -1)
  if (lines.length !== messageCount) throw new BlobError(`the blob ${blobKey} has ${lines.length} messages`)
  return lines.map((line) => parseExactly(line) as unknown as Message)
}

function sha256Of(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

/** Where the blobs of a conversation are. */
export function prefixOf({
  organizationId,
  conversationId,
}: {
  organizationId: string
  conversationId: string
}): string {
  return `archive/${organizationId}/${conversationId}/`
}

/** A key that nobody has used: whoever loses a race has written another blob. */
export function newBlobKey(key: ConversationKey, number: number, id: string): string {
  return `${prefixOf(key)}${String(number).padStart(6, '0')}-${id}.jsonl.gz`
}

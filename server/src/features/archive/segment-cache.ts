import type { BlobStore } from '../../blobs/blob-store.ts'
import type { Message } from '../conversations/conversation.ts'
import { decodeSegment, type Segment } from './segment.ts'

export type SegmentCache = ReturnType<typeof createSegmentCache>

/** Bytes of segments that are kept, as they are stored: in memory they take about ten times as much. */
const KEPT_BYTES = 8 * 1_024 * 1_024

/**
 * Reads segments, and keeps those that were read last: whoever goes on with an archived conversation needs the same one
 * in each turn, and a segment never changes. Two that ask at once share one read.
 */
export function createSegmentCache(deps: { blobs: Pick<BlobStore, 'get'>; keptBytes?: number }) {
  const { blobs, keptBytes = KEPT_BYTES } = deps
  const kept = new Map<string, { messages: Promise<Message[]>; byteCount: number }>()
  let bytes = 0

  function forget(blobKey: string): void {
    bytes -= kept.get(blobKey)?.byteCount ?? 0
    kept.delete(blobKey)
  }

  function keep(blobKey: string, entry: { messages: Promise<Message[]>; byteCount: number }): void {
    kept.set(blobKey, entry)
    bytes += entry.byteCount
    for (const oldest of kept.keys()) {
      if (bytes <= keptBytes || oldest === blobKey) return
      forget(oldest)
    }
  }

  /** Not kept: for those that read everything once. Throws `BlobError`. */
  async function readOnce(segment: Segment): Promise<Message[]> {
    return (await kept.get(segment.blobKey)?.messages) ?? decodeSegment(await blobs.get(segment.blobKey), segment)
  }

  return {
    readOnce,

    /** The messages of a segment, in order. Throws `BlobError`. */
    read(segment: Segment): Promise<Message[]> {
      const { blobKey, byteCount } = segment
      const known = kept.get(blobKey)
      const messages = known?.messages ?? readOnce(segment)
      if (known) forget(blobKey)
      keep(blobKey, { messages, byteCount })
      messages.catch(() => {
        if (kept.get(blobKey)?.messages === messages) forget(blobKey)
      })
      return messages
    },
  }
}

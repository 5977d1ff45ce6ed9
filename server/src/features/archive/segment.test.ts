import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { BlobStore } from '../../blobs/blob-store.ts'
import type { Message } from '../conversations/conversation.ts'
import { decodeSegment, encodeSegment, type Segment } from './segment.ts'
import { createSegmentCache } from './segment-cache.ts'

const message = (text: fc.Arbitrary<string>): fc.Arbitrary<Message> =>
  fc.record({
    id: fc.uuid(),
    role: fc.constantFrom('user', 'assistant', 'tool'),
    content: text,
    toolCallId: fc.option(fc.string()),
    name: fc.option(fc.string({ unit: 'grapheme' })),
    runId: fc.option(fc.uuid()),
    promptTokens: fc.nat(),
    completionTokens: fc.nat(),
    createdAt: fc.nat(),
  })
const anyText = fc.oneof(
  fc.string({ unit: 'grapheme' }),
  fc.constantFrom('', '\n', '\r\n\u2028', '"\\', '😀', '\ufffd'),
)

test('a segment gives back exactly the messages that went in', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(message(anyText), { maxLength: 40 }), async (messages) => {
      const { bytes, sha256 } = await encodeSegment(messages)
      const segment = { blobKey: 'k', sha256, messageCount: messages.length }
      expect(await decodeSegment(bytes, segment)).toEqual(messages)
    }),
    { numRuns: 200 },
  )
})

test('a segment that was changed in any byte is refused', async () => {
  const messages = fc.sample(message(anyText), 5)
  const { bytes, sha256 } = await encodeSegment(messages)
  const segment = { blobKey: 'k', sha256, messageCount: 5 }
  for (let i = 0; i < bytes.length; i += 7) {
    const changed = Uint8Array.from(bytes, (byte, at) => (at === i ? byte ^ 1 : byte))
    await expect(decodeSegment(changed, segment)).rejects.toThrow(/checksum/)
  }
  await expect(decodeSegment(bytes.subarray(1), segment)).rejects.toThrow(/checksum/)
  await expect(decodeSegment(null, segment)).rejects.toThrow(/missing/)
  await expect(decodeSegment(bytes, { ...segment, messageCount: 4 })).rejects.toThrow(/has 5 messages/)
})

test('the cache reads what is asked for again only once, and forgets what was read long ago', async () => {
  const stored = new Map<string, Uint8Array>()
  const segments: Segment[] = []
  for (const blobKey of ['a', 'b', 'c']) {
    const { bytes, sha256 } = await encodeSegment(fc.sample(message(anyText), 1))
    stored.set(blobKey, bytes)
    segments.push({ number: 1, firstId: '', lastId: '', messageCount: 1, blobKey, sha256, byteCount: 10 })
  }
  const asked: string[] = []
  let isDown = false
  const get: BlobStore['get'] = async (key) => {
    asked.push(key)
    if (isDown) throw new Error('down')
    return stored.get(key) ?? null
  }
  const cache = createSegmentCache({ blobs: { get }, keptBytes: 20 })
  const [a, b, c] = segments as [Segment, Segment, Segment]
  await Promise.all([cache.read(a), cache.read(a)])
  await cache.read(b)
  await cache.read(a)
  expect(asked).toEqual(['a', 'b'])
  await cache.read(c)
  await cache.read(a)
  expect(asked).toEqual(['a', 'b', 'c'])
  isDown = true
  await expect(cache.read(b)).rejects.toThrow('down')
  isDown = false
  expect(await cache.read(b)).toHaveLength(1)
})

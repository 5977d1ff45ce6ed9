import fc from 'fast-check'
import { expect, test } from 'vitest'
import { readSse, type SseEvent } from './sse-reader.ts'

async function read(text: string, cuts: readonly number[] = []): Promise<SseEvent[]> {
  const bytes = new TextEncoder().encode(text)
  const edges = [0, ...cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length]
  async function* pieces() {
    for (const [i, edge] of edges.slice(1).entries()) yield bytes.subarray(edges[i], edge)
  }
  const events: SseEvent[] = []
  for await (const event of readSse(pieces())) events.push(event)
  return events
}

test('reads data, names, comments and several lines', async () => {
  const text = 'id: a:0\ndata: one\n\n: ping\n\nevent: error\ndata:two\ndata: three\n\ndata\n\n'
  expect(await read(text)).toEqual([
    { event: null, data: 'one' },
    { event: 'error', data: 'two\nthree' },
    { event: null, data: '' },
  ])
})

test('forgets the name with its event, and drops what was cut off', async () => {
  expect(await read('event: x\n\ndata: 1\n\ndata: 2\n')).toEqual([{ event: null, data: '1' }])
})

test('reads the same however it is cut, and with every kind of line end', async () => {
  const texts = fc.array(
    fc.string({ unit: 'binary' }).map((text) => text.replaceAll(/[\r\n\ufeff]/g, '')),
    { minLength: 1 },
  )
  const ends = fc.constantFrom('\n', '\r\n', '\r')
  await fc.assert(
    fc.asyncProperty(texts, ends, fc.array(fc.nat()), async (data, end, cuts) => {
      const stream = data.map((one) => `event: e${end}data: ${one}${end}${end}`).join('')
      expect(await read(stream, cuts)).toEqual(data.map((one) => ({ event: 'e', data: one.toWellFormed() })))
    }),
  )
})

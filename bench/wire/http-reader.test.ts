import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createHttpReader } from './http-reader.ts'
import { MARK, STREAM_END, STREAM_WRITES, STREAMS_AT_ONCE, TOKENS } from './openai-reply.ts'

type Message = { head: string; body: string }

/** Everything that a reader finds when the bytes come in these pieces. */
function read(kind: 'request' | 'response', pieces: readonly Buffer[], isClosed = false): Message[] {
  const messages: Message[] = []
  let current: Message = { head: '', body: '' }
  const reader = createHttpReader(kind, {
    head: (head) => {
      current = { head, body: '' }
    },
    body: (bytes, from, to) => {
      current.body += bytes.toString('latin1', from, to)
    },
    end: () => void messages.push(current),
  })
  for (const piece of pieces) reader.push(piece)
  if (isClosed) reader.close()
  return messages
}

/** The same bytes in pieces that end at these places. */
function cut(bytes: Buffer, places: readonly number[]): Buffer[] {
  const ends = [...new Set(places.map((place) => place % (bytes.length + 1)))].toSorted((a, b) => a - b)
  return [...ends, bytes.length].map((end, i) => bytes.subarray(i === 0 ? 0 : ends[i - 1], end))
}

const text = fc.string({ unit: 'binary-ascii', maxLength: 40 })
const chunked = (parts: readonly string[]) => {
  const chunks = parts.filter((part) => part !== '').map((part) => `${part.length.toString(16)};a=b\r\n${part}\r\n`)
  return `transfer-encoding: chunked\r\n\r\n${chunks.join('')}0\r\nx-trailer: yes\r\n\r\n`
}
const message = fc.oneof(
  text.map((body) => ({ body, wire: `Content-Length: ${body.length}\r\n\r\n${body}` })),
  fc.array(text, { maxLength: 6 }).map((parts) => ({ body: parts.join(''), wire: chunked(parts) })),
)

describe('any cut of the bytes gives the same messages', () => {
  for (const [kind, line] of [
    ['response', 'HTTP/1.1 200 OK'],
    ['request', 'POST /v1/chat/completions HTTP/1.1'],
  ] as const) {
    test(kind, () => {
      fc.assert(
        fc.property(fc.array(message, { maxLength: 4 }), fc.array(fc.nat(), { maxLength: 30 }), (messages, places) => {
          const bytes = Buffer.from(messages.map(({ wire }) => `${line}\r\nx-a: b\r\n${wire}`).join(''), 'latin1')
          const found = read(kind, cut(bytes, places))
          expect(found.map(({ body }) => body)).toEqual(messages.map(({ body }) => body))
          expect(found.every(({ head }) => head.startsWith(line))).toBe(true)
        }),
      )
    })
  }

  test('the reply of the provider, byte by byte', () => {
    const bytes = Buffer.concat(STREAM_WRITES)
    const pieces = Array.from(bytes, (_, i) => bytes.subarray(i, i + 1))
    const [found] = read('response', pieces)
    expect(found?.body.split(MARK).length).toBe(TOKENS + 1)
    expect(found?.body.endsWith(STREAM_END)).toBe(true)
    for (const stream of [STREAMS_AT_ONCE[0], STREAMS_AT_ONCE.at(-1)]) {
      const [same] = read('response', stream ?? [])
      expect(same?.body.length).toBe(found?.body.length)
      expect(same?.body.split(MARK)).toHaveLength(TOKENS + 1)
    }
  })
})

test('the bodies of a conversation with a strict client are read to their ends', () => {
  const bytes = Buffer.from(
    'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\nA\r\n0123456789\r\n0\r\n\r\n',
  )
  expect(read('response', [bytes]).map(({ body }) => body)).toEqual(['', '0123456789'])
})

test('a response without a length ends with its connection', () => {
  expect(read('response', [Buffer.from('HTTP/1.0 200 OK\r\n\r\nall of it')], true)).toEqual([
    { head: 'HTTP/1.0 200 OK', body: 'all of it' },
  ])
})

test('a request without a length has no body', () => {
  const twice = Buffer.from('GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n')
  expect(read('request', [twice]).map(({ head }) => head)).toEqual(['GET /a HTTP/1.1', 'GET /b HTTP/1.1'])
})

test.each([
  ['no HTTP', 'SSH-2.0-OpenSSH\r\n\r\n'],
  ['a size that is no number', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n'],
  ['a chunk without a size', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n\r\n'],
  ['a chunk that is too long', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nabc\r\n'],
  ['a head without an end', `HTTP/1.1 200 OK\r\n${'x'.repeat(70_000)}`],
])('%s is an error', (_, bytes) => {
  expect(() => read('response', [Buffer.from(bytes)])).toThrow()
})

test('a connection that closes in the middle is an error', () => {
  expect(() => read('response', [Buffer.from('HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabc')], true)).toThrow(
    'middle',
  )
})

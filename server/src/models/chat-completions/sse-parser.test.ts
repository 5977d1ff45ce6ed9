import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createSseParser, EventTooLongError } from './sse-parser.ts'

type Event = { data: string; event: string }

function parse(pieces: readonly Uint8Array[], maxEventBytes?: number): Event[] {
  const events: Event[] = []
  const parser = createSseParser({
    onEvent: (data, event) => events.push({ data, event }),
    ...(maxEventBytes === undefined ? {} : { maxEventBytes }),
  })
  for (const piece of pieces) parser.push(piece)
  parser.end()
  return events
}

/** The standard's algorithm on the whole text at once, as plainly as it can be written. */
function reference(text: string): Event[] {
  const events: Event[] = []
  let data: string[] = []
  let event = ''
  for (const line of [...text.replace(/^\uFEFF/, '').split(/\r\n|\r|\n/), '']) {
    if (line === '') {
      if (data.length > 0) events.push({ data: data.join('\n'), event })
      data = []
      event = ''
      continue
    }
    const [, field, value] = /^([^:]*)(?::[ ]?([\s\S]*))?$/.exec(line) as RegExpExecArray
    if (field === 'data') data.push(value ?? '')
    if (field === 'event') event = value ?? ''
  }
  return events
}

const bytesOf = (text: string) => new TextEncoder().encode(text)
const dataOf = (text: string) => parse([bytesOf(text)]).map((event) => event.data)

describe('the lines of an event stream', () => {
  test.each([
    ['with a space after the colon', 'data: a\n\n', ['a']],
    ['without one', 'data:a\n\n', ['a']],
    ['with two, of which one is text', 'data:  a\n\n', [' a']],
    ['ended by CRLF', 'data: a\r\n\r\ndata: b\r\n\r\n', ['a', 'b']],
    ['ended by CR', 'data: a\r\rdata: b\r\r', ['a', 'b']],
    ['several of one event', 'data: a\ndata: b\ndata:\n\n', ['a\nb\n']],
    ['comments between them', ': ping\n\n:\ndata: a\n: again\n\n', ['a']],
    ['fields that nobody knows', 'id: 7\nretry: 10\nfoo: bar\ndata: a\n\n', ['a']],
    ['a field without a colon', 'data\n\n', ['']],
    ['an event without data', 'event: ping\n\ndata: a\n\n', ['a']],
    ['a byte order mark', '\uFEFFdata: a\n\n', ['a']],
    ['no empty line at the end', 'data: a\n\ndata: [DONE]', ['a', '[DONE]']],
  ])('%s', (_name, text, expected) => {
    expect(dataOf(text)).toEqual(expected)
  })

  test('an event keeps its name, the next one does not', () => {
    expect(parse([bytesOf('event: error\ndata: a\n\ndata: b\n\n')])).toEqual([
      { data: 'a', event: 'error' },
      { data: 'b', event: '' },
    ])
  })

  test('CR and LF in different pieces are one end of a line', () => {
    expect(parse([bytesOf('data: a\r'), bytesOf('\ndata: b\r'), bytesOf('\n\r'), bytesOf('\n')])).toEqual([
      { data: 'a\nb', event: '' },
    ])
  })

  test('an event comes out before the rest has arrived', () => {
    const seen: string[] = []
    const parser = createSseParser({ onEvent: (data) => seen.push(data) })
    parser.push(bytesOf('data: a\n\nda'))
    expect(seen).toEqual(['a'])
  })
})

describe('bounds', () => {
  test('a line that never ends is given up', () => {
    const pieces = Array.from({ length: 20 }, () => bytesOf('x'.repeat(10)))
    expect(() => parse(pieces, 100)).toThrow(EventTooLongError)
  })

  test('so is an event that never ends', () => {
    const pieces = Array.from({ length: 20 }, () => bytesOf('data: xxxx\n'))
    expect(() => parse(pieces, 100)).toThrow(EventTooLongError)
  })

  test('any number of events within the bound is fine', () => {
    const pieces = Array.from({ length: 1_000 }, () => bytesOf(`data: ${'x'.repeat(80)}\n\n`))
    expect(parse(pieces, 100)).toHaveLength(1_000)
  })

  test('a line in many pieces counts each byte once', () => {
    const pieces = [...bytesOf(`data: ${'x'.repeat(90)}\n\n`)].map((byte) => Uint8Array.of(byte))
    expect(parse(pieces, 100)).toHaveLength(1)
  })
})

describe('events that are taken whole', () => {
  /** Takes events that begin with `data: *`, up to their empty line. */
  const takeStars = (stream: string, at: number) => {
    const end = stream.startsWith('data: *', at) ? stream.indexOf('\n\n', at) : -1
    return end === -1 ? -1 : end + 2
  }

  /** The data of all events in order, and of those alone that were taken. */
  function parseAndTake(pieces: readonly Uint8Array[], maxEventBytes?: number) {
    const taken: string[] = []
    const all: string[] = []
    const parser = createSseParser({
      onEvent: (data) => all.push(data),
      takeWhole(stream, at) {
        const end = takeStars(stream, at)
        if (end === -1) return -1
        const data = stream.slice(at + 'data: '.length, end - 2)
        taken.push(data)
        all.push(data)
        return end
      },
      ...(maxEventBytes === undefined ? {} : { maxEventBytes }),
    })
    for (const piece of pieces) parser.push(piece)
    parser.end()
    return { taken, all }
  }

  test('do not come out a second time', () => {
    const { taken, all } = parseAndTake([bytesOf('data: a\n\ndata: *b\n\ndata: c\n\ndata: *d\n\n')])
    expect([taken, all]).toEqual([
      ['*b', '*d'],
      ['a', '*b', 'c', '*d'],
    ])
  })

  test('are only offered where an event begins', () => {
    const { taken, all } = parseAndTake([
      bytesOf('event: error\ndata: *a\n\ndata: b\ndata: *c\n\n: ping\ndata: *d\n\n'),
    ])
    expect([taken, all]).toEqual([['*d'], ['*a', 'b\n*c', '*d']])
  })

  test('are parsed when their lines end with CRLF', () => {
    const { taken, all } = parseAndTake([bytesOf('data: *a\r\n\r\ndata: *b\r\n\r\n')])
    expect([taken, all]).toEqual([[], ['*a', '*b']])
  })

  test('do not count for the bound, nor does what stands before them', () => {
    const piece = bytesOf('id: 7\ndata: *a\n\n')
    expect(parseAndTake(new Array(100).fill(piece), 50).taken).toHaveLength(100)
  })

  test('are those that would have come out, however the bytes are cut', () => {
    const part = fc.constantFrom(
      'data: *a\n\n',
      'data: *ü🐈\n\n',
      'data: b\n\n',
      'id: 7\n',
      ': ping\n\n',
      'event: e\n',
      '\n',
    )
    fc.assert(
      fc.property(fc.array(part, { maxLength: 12 }), fc.array(fc.nat(), { maxLength: 8 }), (parts, cuts) => {
        const bytes = bytesOf(parts.join(''))
        const ends = [...cuts.map((at) => at % (bytes.length + 1)).sort((a, b) => a - b), bytes.length]
        const pieces = ends.map((end, index) => bytes.slice(ends[index - 1] ?? 0, end))
        expect(parseAndTake(pieces, 100).all).toEqual(parse([bytes]).map(({ data }) => data))
      }),
    )
  })
})

const streamText = fc
  .array(
    fc.oneof(
      fc.constantFrom('\n', '\r', '\r\n', '\n\n', 'data:', 'data: ', 'event: ', ':', ' ', '[DONE]', '\uFEFF'),
      fc.string({ unit: 'binary', maxLength: 12 }),
    ),
    { maxLength: 40 },
  )
  .map((parts) => parts.join('').toWellFormed())

test('any stream is read as the standard says', () => {
  fc.assert(
    fc.property(streamText, (text) => {
      expect(parse([bytesOf(text)])).toEqual(reference(text))
    }),
  )
})

test('however the bytes are cut, the events are the same', () => {
  fc.assert(
    fc.property(
      fc.oneof(streamText.map(bytesOf), fc.uint8Array({ maxLength: 200 })),
      fc.array(fc.nat({ max: 200 }), { maxLength: 20 }),
      (bytes, cuts) => {
        const ends = [...cuts.filter((at) => at < bytes.length).sort((a, b) => a - b), bytes.length]
        const pieces = ends.map((end, index) => bytes.slice(ends[index - 1] ?? 0, end))
        expect(parse(pieces)).toEqual(parse([bytes]))
      },
    ),
  )
})

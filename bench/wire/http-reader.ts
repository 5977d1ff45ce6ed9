/** What a reader finds in the bytes of a connection. The ranges of `body` are only valid during the call. */
export type HttpSink = {
  /** First line and headers, without the empty line. */
  head(head: string): void
  body(bytes: Buffer, from: number, to: number): void
  /** The message is complete. */
  end(): void
}

export type HttpReader = {
  /** Takes the next bytes, cut anywhere. Throws an `Error` on anything that is not HTTP/1.1. */
  push(bytes: Buffer): void
  /** The other side has closed. Throws when a message was not complete. */
  close(): void
}

const HEAD = 0
const FIXED = 1
const SIZE = 2
const EXTENSION = 3
const DATA = 4
const DATA_END = 5
const TRAILER = 6
const UNTIL_CLOSE = 7

const CR = 13
const LF = 10
const SEMICOLON = 59
const SPACE = 32
/** No server sends more in earnest. */
const LARGEST_HEAD = 64 * 1024
const END_OF_HEAD = Buffer.from('\r\n\r\n')

/**
 * Reads one message after the other from one connection: heads, and bodies by content-length, in chunks or up to the
 * close. A response parser of Node costs a load generator more than the server under test may spend on a turn.
 */
export function createHttpReader(kind: 'request' | 'response', sink: HttpSink): HttpReader {
  let state = HEAD
  /** Bytes of the body or chunk that are still to come. */
  let left = 0
  let digits = 0
  /** Characters of the trailer line so far. */
  let line = 0
  let pending: Buffer | null = null

  function end(): void {
    state = HEAD
    sink.end()
  }

  function readHead(bytes: Buffer, from: number): number {
    const all = pending === null ? bytes : Buffer.concat([pending, bytes])
    const start = pending === null ? from : 0
    const at = all.indexOf(END_OF_HEAD, start)
    if (at === -1) {
      if (all.length - start > LARGEST_HEAD) throw new Error('the head of a message has no end')
      pending = Buffer.from(all.subarray(start))
      return bytes.length
    }
    const before = pending?.length ?? 0
    pending = null
    beginBody(all.toString('latin1', start, at))
    return at + END_OF_HEAD.length - before
  }

  function beginBody(head: string): void {
    const framing = framingOf(kind, head)
    // 100 Continue and its like come before the real one.
    if (framing === 'informational') return
    sink.head(head)
    if (framing === 'chunked') {
      state = SIZE
      left = 0
      digits = 0
    } else if (framing === 'until close') {
      state = UNTIL_CLOSE
    } else if (framing === 0) {
      end()
    } else {
      state = FIXED
      left = framing
    }
  }

  function readSize(bytes: Buffer, from: number): number {
    let i = from
    for (; i < bytes.length; i++) {
      const byte = bytes[i] as number
      const digit = HEX_DIGITS[byte] as number
      if (digit >= 0) {
        left = left * 16 + digit
        if (++digits > 8) throw new Error('a chunk is too large')
      } else if (byte === LF) {
        beginChunk()
        return i + 1
      } else if (byte === SEMICOLON || byte === SPACE || byte === CR) {
        state = EXTENSION
        return i + 1
      } else {
        throw new Error('the size of a chunk is no number')
      }
    }
    return i
  }

  function beginChunk(): void {
    if (digits === 0) throw new Error('a chunk has no size')
    digits = 0
    line = 0
    state = left === 0 ? TRAILER : DATA
  }

  function readExtension(bytes: Buffer, from: number): number {
    const at = bytes.indexOf(LF, from)
    if (at === -1) return bytes.length
    beginChunk()
    return at + 1
  }

  /** Both for a body of known length and for a chunk. */
  function readData(bytes: Buffer, from: number): number {
    const to = Math.min(bytes.length, from + left)
    left -= to - from
    sink.body(bytes, from, to)
    if (left === 0) {
      if (state === FIXED) end()
      else state = DATA_END
    }
    return to
  }

  function readDataEnd(bytes: Buffer, from: number): number {
    const byte = bytes[from]
    if (byte === LF) state = SIZE
    else if (byte !== CR) throw new Error('a chunk is longer than its size')
    return from + 1
  }

  function readTrailer(bytes: Buffer, from: number): number {
    for (let i = from; i < bytes.length; i++) {
      const byte = bytes[i]
      if (byte === LF) {
        if (line === 0) {
          end()
          return i + 1
        }
        line = 0
      } else if (byte !== CR) {
        line++
      }
    }
    return bytes.length
  }

  return {
    push(bytes) {
      let at = 0
      while (at < bytes.length) {
        if (state === DATA || state === FIXED) at = readData(bytes, at)
        else if (state === SIZE) at = readSize(bytes, at)
        else if (state === DATA_END) at = readDataEnd(bytes, at)
        else if (state === HEAD) at = readHead(bytes, at)
        else if (state === TRAILER) at = readTrailer(bytes, at)
        else if (state === EXTENSION) at = readExtension(bytes, at)
        else {
          sink.body(bytes, at, bytes.length)
          at = bytes.length
        }
      }
    },
    close() {
      if (state === UNTIL_CLOSE) end()
      else if (state !== HEAD || pending !== null)
        throw new Error('the connection was closed in the middle of a message')
    },
  }
}

/** The value of each byte as a hexadecimal digit, or -1. */
const HEX_DIGITS = Int8Array.from({ length: 256 }, (_, byte) =>
  '0123456789abcdef'.indexOf(String.fromCharCode(byte).toLowerCase()),
)

function framingOf(kind: 'request' | 'response', head: string): number | 'chunked' | 'until close' | 'informational' {
  if (kind === 'response') {
    const status = statusOf(head)
    if (status < 200) return 'informational'
    if (status === 204 || status === 304) return 0
  }
  const chunked = /\r\ntransfer-encoding:[ \t]*(?:[\w-]+,[ \t]*)*chunked/i.test(head)
  if (chunked) return 'chunked'
  const length = /\r\ncontent-length:[ \t]*(\d+)/i.exec(head)?.[1]
  if (length !== undefined) return Number(length)
  return kind === 'request' ? 0 : 'until close'
}

/** The status of a response's head. Throws when there is none. */
export function statusOf(head: string): number {
  const status = head.startsWith('HTTP/1.') ? Number(head.slice(9, 12)) : Number.NaN
  if (!(status >= 100 && status <= 999)) throw new Error(`not a response: ${head.slice(0, 40)}`)
  return status
}

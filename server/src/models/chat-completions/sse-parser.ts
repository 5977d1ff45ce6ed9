const LF = 10
const CR = 13
const BYTE_ORDER_MARK = '\uFEFF'

/** Bytes of one event, its field names included, before the parser gives up. */
export const MAX_EVENT_BYTES = 8 * 1024 * 1024

/** The stream is not what it says it is: one event has more bytes than the parser will hold. */
export class EventTooLongError extends Error {
  constructor(maxEventBytes: number) {
    super(`an event is longer than ${maxEventBytes} bytes`)
    this.name = 'EventTooLongError'
  }
}

export type SseParserOptions = {
  /** `event` is empty when the stream did not name it. Several `data:` lines are joined by a line feed. */
  onEvent(data: string, event: string): void
  /**
   * Is asked at the beginning of each event whether it takes it as it stands in the stream; says where it ends, with its
   * empty line, or -1.
   */
  takeWhole?(stream: string, at: number): number
  maxEventBytes?: number
}

export type SseParser = {
  /** Takes any piece of the stream; events come out synchronously. Throws {@link EventTooLongError}. */
  push(chunk: Uint8Array): void
  /** Gives out what is pending: some servers leave out the empty line after the last event. */
  end(): void
}

/**
 * An incremental parser of `text/event-stream` (https://html.spec.whatwg.org/multipage/server-sent-events.html,
 * section 9.2.6). Only whole lines are decoded, which makes a character that was split between two chunks no case of
 * its own: no byte of one looks like a line's end.
 */
export function createSseParser({ onEvent, takeWhole, maxEventBytes = MAX_EVENT_BYTES }: SseParserOptions): SseParser {
  let heldPieces: Buffer[] = []
  let eventBytes = 0
  let skipLineFeed = false
  let isFirstLine = true
  let data: string | null = null
  let eventName = ''

  function count(bytes: number): void {
    eventBytes += bytes
    if (eventBytes > maxEventBytes) throw new EventTooLongError(maxEventBytes)
  }

  function dispatch(): void {
    const finished = data
    const name = eventName
    data = null
    eventName = ''
    eventBytes = 0
    if (finished !== null) onEvent(finished, name)
  }

  function takeField(line: string): void {
    const colon = line.indexOf(':')
    if (colon === 0) return
    const field = colon === -1 ? line : line.slice(0, colon)
    if (field !== 'data' && field !== 'event') return
    const start = line.charCodeAt(colon + 1) === 32 ? colon + 2 : colon + 1
    const value = colon === -1 ? '' : line.slice(start)
    if (field === 'event') eventName = value
    else data = data === null ? value : `${data}\n${value}`
  }

  function takeLine(line: string): void {
    const text = isFirstLine && line.startsWith(BYTE_ORDER_MARK) ? line.slice(1) : line
    isFirstLine = false
    if (text === '') dispatch()
    else takeField(text)
  }

  function endLine(bytes: Buffer, start: number, end: number): void {
    count(end - start)
    takeLine(withHeld(bytes.subarray(start, end)).toString('utf8'))
  }

  function withHeld(bytes: Buffer): Buffer {
    if (heldPieces.length === 0) return bytes
    const whole = Buffer.concat([...heldPieces, bytes])
    heldPieces = []
    return whole
  }

  function hold(bytes: Buffer): void {
    if (bytes.length === 0) return
    count(bytes.length)
    // A copy, because the rest of the chunk would stay in memory with it.
    heldPieces.push(Buffer.from(bytes))
  }

  /** Lines that end with a line feed, as nearly all do: decoded at once, which takes a quarter of the time. */
  function takeLines(bytes: Buffer): void {
    const end = bytes.lastIndexOf(LF) + 1
    if (end > 0) {
      const heldBytes = heldPieces.reduce((sum, { length }) => sum + length, 0)
      const whole = withHeld(bytes.subarray(0, end))
      const text = whole.toString('utf8')
      const isAscii = text.length === whole.length
      // What was held has been counted.
      eventBytes -= heldBytes
      for (let at = 0; at < text.length; ) {
        const wholeEnd = data === null && eventName === '' && takeWhole ? takeWhole(text, at) : -1
        if (wholeEnd !== -1) {
          at = wholeEnd
          eventBytes = 0
          continue
        }
        const lineEnd = text.indexOf('\n', at)
        const line = text.slice(at, lineEnd)
        count(isAscii ? line.length : Buffer.byteLength(line))
        takeLine(line)
        at = lineEnd + 1
      }
    }
    hold(bytes.subarray(end))
  }

  function takeMixedLines(bytes: Buffer): void {
    let start = skipLineFeed && bytes[0] === LF ? 1 : 0
    skipLineFeed = false
    for (let at = start; at < bytes.length; at++) {
      const byte = bytes[at]
      if (byte !== LF && byte !== CR) continue
      endLine(bytes, start, at)
      if (byte === CR) {
        if (at + 1 === bytes.length) skipLineFeed = true
        else if (bytes[at + 1] === LF) at++
      }
      start = at + 1
    }
    hold(bytes.subarray(start))
  }

  return {
    push(chunk) {
      if (chunk.length === 0) return
      const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
      if (skipLineFeed || bytes.includes(CR)) takeMixedLines(bytes)
      else takeLines(bytes)
    },
    end() {
      if (heldPieces.length > 0) endLine(Buffer.alloc(0), 0, 0)
      dispatch()
    },
  }
}

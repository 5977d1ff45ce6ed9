import type { FastifyReply } from 'fastify'
import { openRawStream, type RawStream } from '../../../http/answers/raw-stream.ts'
import { pingWhileQuiet, sseEvent } from '../../../http/answers/sse.ts'
import type { ReadableRun } from '../reply/readable-run.ts'
import type { ReplyEvent } from '../reply/reply-event.ts'
import type { ReplyView } from '../reply/reply-log.ts'
import { shownReply } from '../reply/shown-reply.ts'
import type { RunEnd } from '../run/run.ts'
import { createItemPrinter, errorJson, errorOf, type ItemPrinter } from './reply-wire.ts'
import { failureBeforeText } from './run-outcome.ts'
import { tellWarnings } from './turn-request.ts'

export type StreamOptions = {
  format: 'sse' | 'array'
  /** The first event that is wanted. */
  from: number
  /** Whether the reader wants to see thoughts. */
  reasoning?: boolean | undefined
  /** Goes out before the first event. */
  preamble?: string
  /** Milliseconds after which the headers go out even if there is no event yet. */
  headersAfterMs?: number
  /** Milliseconds before the last item of an array, and between it and the closing bracket. */
  closingPauseMs?: number
}

/** Milliseconds without an event after which a stream sends its headers (contract, section 6). */
export const HEADERS_AFTER_MS = 10_000

/** UTF-16 units that are printed before a reader is asked whether it keeps up. */
const PIECE_LENGTH = 16_384

/**
 * `closingPauseMs` where nothing else is said. A browser hands over as one read what has come within a few milliseconds,
 * and a busy one what has come within a frame.
 */
const CLOSING_PAUSE_MS = 20

/**
 * Streams a run's events to one reader: in an array each as a write of its own, else what is new at a time. The reader has
 * its own place in the reply: one that is slow or goes away holds up nobody and copies nothing. Throws, while no header has
 * gone out, what the run failed with before it had any text.
 */
export async function streamReply(reply: FastifyReply, whole: ReadableRun, options: StreamOptions): Promise<void> {
  const run = { ...whole, reply: shownReply(whole.reply, options.reasoning === true && whole.mayShowThoughts === true) }
  const { format, from, preamble = '', headersAfterMs = HEADERS_AFTER_MS, closingPauseMs = CLOSING_PAUSE_MS } = options
  reply.header('x-dramatis-run-id', run.runId)
  await eventOrTimeout(run.reply, from, headersAfterMs)
  tellWarnings(reply, run)
  const error = failureBeforeText(run)
  if (error) throw error

  const printer = createItemPrinter(run.runId, run.messageId)
  const type = format === 'array' ? 'application/json' : 'text/event-stream'
  const stream = openRawStream(reply, `${type}; charset=utf-8`)
  if (preamble !== '') stream.write(preamble)
  // Where there is something to write at once, the head goes out with it: as one packet and not two.
  else if (!hasNews(run.reply, from)) stream.flushHead()
  if (format === 'array') await writeArray(stream, run, printer, from, closingPauseMs)
  else writeEvents(stream, run, printer, from)
}

/** Whether a reader who has all events below `from` has something to read, or nothing to wait for. */
function hasNews(reply: ReplyView, from: number): boolean {
  return reply.committed > from || reply.end !== null || reply.isLost
}

function eventOrTimeout(reply: ReplyView, from: number, timeoutMs: number): Promise<void> {
  if (hasNews(reply, from)) return Promise.resolve()
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer)
      unwatch()
      resolve()
    }
    const timer = setTimeout(done, timeoutMs)
    const unwatch = reply.watch(done)
  })
}

function writeEvents(stream: RawStream, run: ReadableRun, printer: ItemPrinter, from: number): void {
  const { reply, runId } = run
  let n = from
  let isWaiting = false
  const pinger = pingWhileQuiet(stream, Date.now)
  const unwatch = reply.watch(advance)
  stream.onClose(() => {
    pinger.stop()
    unwatch()
  })
  advance()

  function advance(): void {
    if (isWaiting || stream.isClosed) return
    while (n < reply.committed) {
      // What was committed together goes out together: a write costs more than all the rest of an event.
      const piece = printUpTo(reply.committed)
      if (n === reply.committed && reply.end) {
        finish(piece, reply.end)
        return
      }
      const isTaken = stream.write(piece)
      pinger.wrote()
      if (!isTaken) {
        isWaiting = true
        stream.onDrain(resume)
        return
      }
    }
    if (reply.end) finish('', reply.end)
    else if (reply.isLost) detach()
  }

  /** The next events below `end`, about as many as a slow reader may have in memory at a time. */
  function printUpTo(end: number): string {
    let piece = ''
    for (; n < end && piece.length < PIECE_LENGTH; n++) {
      piece += printer.sse(n, reply.events[n] as ReplyEvent)
    }
    return piece
  }

  function resume(): void {
    isWaiting = false
    advance()
  }

  /** The connection ends without an end of the reply: the rest is at the run's events. */
  function detach(): void {
    stream.write(sseEvent(JSON.stringify({ runId, after: n - 1 }), { event: 'detached' }))
    unwatch()
    pinger.stop()
    stream.end()
  }

  /** Writes `piece` and what stands behind it at the end. */
  function finish(piece: string, end: RunEnd): void {
    const last = reply.events.length
    const error = end.finishReason === 'error' ? errorOf(run, end) : null
    let rest = piece
    if (n <= last) rest += sseEvent(`${printer.last(last, end)}}`, { id: `${runId}:${last}` })
    if (error && n <= last + 1) rest += sseEvent(errorJson(error), { id: `${runId}:${last + 1}`, event: 'error' })
    unwatch()
    pinger.stop()
    stream.end(`${rest}data: [DONE]\n\n`)
  }
}

/** Clients of this format parse write by write, so each write waits until the one before has left. */
async function writeArray(
  stream: RawStream,
  run: ReadableRun,
  printer: ItemPrinter,
  from: number,
  closingPauseMs: number,
): Promise<void> {
  const { reply } = run
  let separator = '['
  const write = (item: string) => {
    const piece = separator + item
    separator = ','
    return stream.writeThrough(piece)
  }
  let wake = () => {}
  const unwatch = reply.watch(() => wake())
  stream.onClose(() => {
    unwatch()
    wake()
  })
  // Asked for before anything is awaited, so that no news is missed.
  const news = () =>
    new Promise<void>((resolve) => {
      wake = resolve
    })
  for (let n = from; !stream.isClosed; ) {
    if (n < reply.committed) {
      await write(printer.event(n, reply.events[n] as ReplyEvent))
      n++
    } else if (reply.end) {
      // Two writes that arrive together are read as one, and to a client that reads write by write "]" is the end.
      if (n > from) await pause(stream, closingPauseMs)
      await write(`${printer.last(reply.events.length, reply.end)}${errorMember(run, reply.end)}}`)
      await pause(stream, closingPauseMs)
      await stream.writeThrough(']')
      stream.end()
      return
    } else if (reply.isLost) {
      stream.end()
      return
    } else {
      await news()
    }
  }
}

/** Resolves after `ms` milliseconds, or as soon as the reader is gone. */
function pause(stream: RawStream, ms: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms)
    stream.onClose(() => {
      clearTimeout(timer)
      resolve()
    })
  })
}

function errorMember(run: ReadableRun, end: RunEnd): string {
  const error = end.finishReason === 'error' ? errorOf(run, end) : null
  return error ? `,${errorJson(error).slice(1, -1)}` : ''
}

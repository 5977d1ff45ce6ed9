import { AsyncLocalStorage } from 'node:async_hooks'
import type { Dispatcher } from 'undici'
import type { createCitations } from '../replies/citations.ts'
import { type ChatStream, createChatStream } from './chat-stream.ts'

/** Whoever waits for a stream: after how much silence behind its finish reason it has ended, and that it is at work. */
export type StreamReader = {
  /** Milliseconds. */
  silenceMs: number
  onActivity?: (() => void) | undefined
  citations: ReturnType<typeof createCitations>
}

/** Who asks, for the connection: the packages between the two have no place to hand it through. */
const readers = new AsyncLocalStorage<StreamReader>()

/** Asks a package for something, so that the streams it opens are those of this reader. */
export function readingAs<T>(reader: StreamReader, ask: () => T): T {
  return readers.run(reader, ask)
}

/** Who reads the stream that is being asked for; undefined where nobody has said so. */
export function currentReader(): StreamReader | undefined {
  return readers.getStore()
}

/** What says, in a stream, that nothing of the reply itself will follow. No text can hold it: its quotes are escaped. */
const FINISHED = /(?<!\\)"(?:finish_reason|finishReason|stop_reason|stopReason)" ?: ?"(?!null")[^"]/

/** What every such sign has in it, and hardly a chunk without one: found many times faster. */
const LIKELY = ['eason":"', 'eason": "', 'eason" :']

/** Bytes on either side of the border of two pieces that are looked at together. */
const OVERLAP = 64

/**
 * Connections on which what {@link readingAs} asks for ends in silence behind its finish reason: some servers hold the
 * connection open, and the packages wait for its end. It is closed then; one that is cut there has ended too. Watched
 * where the bytes arrive, which takes no stream and no promise. A packed answer is not watched.
 */
export function endingAfterFinish(dispatcher: Dispatcher): Dispatcher {
  return dispatcher.compose((dispatch) => (options, handler) => {
    const reader = currentReader()
    if (reader === undefined) return dispatch(options, handler)
    const isOdd = /\/chat\/completions(?:\?|$)/.test(options.path) && !isVendor(options.origin)
    return dispatch(options, watched(handler, reader.silenceMs, isOdd ? createChatStream(reader) : null))
  })
}

/** For their makers' own servers the packages are made; it is others behind the same address that differ. */
function isVendor(origin: Dispatcher.DispatchOptions['origin']): boolean {
  const { hostname } = new URL(origin ?? 'http://unknown')
  return /(?:^|\.)(?:openai\.com|azure\.com|groq\.com|mistral\.ai)$/.test(hostname)
}

function watched(
  handler: Dispatcher.DispatchHandler,
  silenceMs: number,
  chat: ChatStream | null,
): Dispatcher.DispatchHandler {
  let stream = chat
  let isOver = false
  let hasFinished = false
  let tail = ''
  let timer: NodeJS.Timeout | undefined

  function look(bytes: Buffer): void {
    // As Latin-1: the signs are ASCII, and no character can be cut.
    const border = tail + bytes.toString('latin1', 0, OVERLAP)
    const isLikely = LIKELY.some((sign) => bytes.includes(sign))
    hasFinished = FINISHED.test(border) || (isLikely && FINISHED.test(bytes.toString('latin1')))
    tail = bytes.length < OVERLAP ? border.slice(-OVERLAP) : bytes.toString('latin1', bytes.length - OVERLAP)
  }

  function give(controller: Dispatcher.DispatchController, bytes: Buffer | undefined): void {
    if (bytes !== undefined && bytes.length > 0) handler.onResponseData?.(controller, bytes)
  }

  function end(controller: Dispatcher.DispatchController, trailers = {}): void {
    isOver = true
    give(controller, stream?.end())
    handler.onResponseEnd?.(controller, trailers)
  }

  return {
    onRequestStart: (controller, context) => handler.onRequestStart?.(controller, context),
    onRequestUpgrade: (...all) => handler.onRequestUpgrade?.(...all),
    onResponseStarted: () => handler.onResponseStarted?.(),
    onBodySent: (chunk) => handler.onBodySent?.(chunk),
    onRequestSent: () => handler.onRequestSent?.(),
    onResponseStart(controller, status, headers, message) {
      // What is packed, or no success, goes on as it is.
      if (status >= 300 || headers['content-encoding'] !== undefined) stream = null
      handler.onResponseStart?.(controller, status, headers, message)
    },
    onResponseData(controller, chunk) {
      if (isOver) return
      if (!hasFinished) look(chunk)
      try {
        give(controller, stream === null ? chunk : stream.push(chunk))
      } catch (error) {
        isOver = true
        controller.abort(error as Error)
        handler.onResponseError?.(controller, error as Error)
      }
      if (!hasFinished || isOver) return
      clearTimeout(timer)
      timer = setTimeout(() => {
        end(controller)
        controller.abort(new Error('finished'))
      }, silenceMs)
    },
    onResponseEnd(controller, trailers) {
      clearTimeout(timer)
      if (!isOver) end(controller, trailers)
    },
    onResponseError(controller, error) {
      clearTimeout(timer)
      if (isOver) return
      if (hasFinished && !controller.aborted) end(controller)
      else handler.onResponseError?.(controller, error)
    },
  }
}

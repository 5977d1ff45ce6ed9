import { AsyncLocalStorage } from 'node:async_hooks'
import type { Dispatcher } from 'undici'

/** Whoever waits for a stream: after how much silence behind its finish reason it has ended, and that it is at work. */
export type StreamReader = {
  /** Milliseconds. */
  silenceMs: number
  onActivity?: (() => void) | undefined
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
    return dispatch(options, reader === undefined ? handler : watched(handler, reader.silenceMs))
  })
}

function watched(handler: Dispatcher.DispatchHandler, silenceMs: number): Dispatcher.DispatchHandler {
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

  function end(controller: Dispatcher.DispatchController): void {
    isOver = true
    handler.onResponseEnd?.(controller, {})
  }

  return {
    onRequestStart: (controller, context) => handler.onRequestStart?.(controller, context),
    onRequestUpgrade: (...all) => handler.onRequestUpgrade?.(...all),
    onResponseStarted: () => handler.onResponseStarted?.(),
    onBodySent: (chunk) => handler.onBodySent?.(chunk),
    onRequestSent: () => handler.onRequestSent?.(),
    onResponseStart: (...all) => handler.onResponseStart?.(...all),
    onResponseData(controller, chunk) {
      if (isOver) return
      if (!hasFinished) look(chunk)
      handler.onResponseData?.(controller, chunk)
      if (!hasFinished) return
      clearTimeout(timer)
      timer = setTimeout(() => {
        end(controller)
        controller.abort(new Error('finished'))
      }, silenceMs)
    },
    onResponseEnd(controller, trailers) {
      clearTimeout(timer)
      if (!isOver) handler.onResponseEnd?.(controller, trailers)
    },
    onResponseError(controller, error) {
      clearTimeout(timer)
      if (isOver) return
      if (hasFinished && !controller.aborted) end(controller)
      else handler.onResponseError?.(controller, error)
    },
  }
}

import { AsyncLocalStorage } from 'node:async_hooks'

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

/** What says, in the bytes of a stream, that nothing of the reply itself will follow. No text can hold it: its quotes are escaped. */
const FINISHED =
  /(?<!\\)"(?:finish_reason|finishReason|stop_reason|stopReason)" ?: ?"(?!null")[^"]|"type" ?: ?"message[_-](?:stop|end)"/

/** Characters that are looked at again with the next piece, for a sign that was cut. */
const OVERLAP = 64

type Piece = { done: true; value: undefined } | { done: false; value: Uint8Array }

/**
 * The same stream, but ended in silence behind its finish reason: some servers hold the connection open, and the
 * packages wait for its end. The connection is closed then. The stream itself where it is asked for outside of
 * {@link readingAs}.
 */
export function endAfterFinish(body: ReadableStream<Uint8Array>): ReadableStream<Uint8Array> {
  const ms = currentReader()?.silenceMs
  if (ms === undefined) return body
  const reader = body.getReader()
  let hasFinished = false
  let tail = ''

  function watch(bytes: Uint8Array): void {
    if (hasFinished) return
    // As Latin-1: the signs are ASCII, and no character can be cut.
    const text = tail + Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1')
    hasFinished = FINISHED.test(text)
    tail = text.slice(-OVERLAP)
  }

  async function next(): Promise<Piece> {
    if (!hasFinished) return (await reader.read()) as Piece
    const silence = Promise.withResolvers<Piece>()
    const timer = setTimeout(() => silence.resolve({ done: true, value: undefined }), ms)
    // A connection that breaks off behind the finish reason takes nothing away.
    const rest = (reader.read() as Promise<Piece>).catch((): Piece => ({ done: true, value: undefined }))
    return Promise.race([rest, silence.promise]).finally(() => clearTimeout(timer))
  }

  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      const { done, value } = await next()
      if (done) {
        controller.close()
        reader.cancel().catch(() => {})
        return
      }
      watch(value)
      controller.enqueue(value)
    },
    cancel: (reason) => reader.cancel(reason),
  })
}

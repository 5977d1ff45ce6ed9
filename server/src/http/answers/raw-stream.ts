import type { FastifyReply } from 'fastify'

/** A response that is written piece by piece, over HTTP/1.1 or HTTP/2. */
export type RawStream = {
  /** Sends the head now. Without it HTTP/1.1 keeps the head for the first write. */
  flushHead(): void
  /** Writes one piece as a write of its own. False when the reader is behind: then wait for `onDrain`. */
  write(piece: string): boolean
  /** The same, and resolves when the piece has left this process, so that no two pieces go out as one. */
  writeThrough(piece: string): Promise<void>
  /** Calls `listener` once, when a reader that was behind has caught up. */
  onDrain(listener: () => void): void
  /** Calls `listener` once, when the reader is gone or the response is complete. */
  onClose(listener: () => void): void
  /** Ends the response, with a last piece if there is one. */
  end(piece?: string): void
  readonly isClosed: boolean
}

/** Whether the connection, or with HTTP/2 the stream, is over already: then nothing will tell any more. */
export function isGone({ raw }: FastifyReply): boolean {
  const { stream } = raw as typeof raw & { stream?: { destroyed: boolean } }
  return Boolean(raw.destroyed || stream?.destroyed)
}

/** Takes the response out of Fastify's hands and sends its head; headers that were set on the reply go with it. */
export function openRawStream(reply: FastifyReply, contentType: string): RawStream {
  reply.hijack()
  const { raw } = reply
  raw.writeHead(200, {
    ...(reply.getHeaders() as Record<string, string>),
    'content-type': contentType,
    // A proxy that collects or rewrites would hold back what is meant to be read as it comes.
    'cache-control': 'private, no-store, no-transform',
    'x-accel-buffering': 'no',
  })
  let isClosed = isGone(reply)
  raw.on('close', () => {
    isClosed = true
  })
  // Without a listener a reader that resets its connection would end the process.
  raw.on('error', () => {})

  return {
    flushHead: () => {
      if (!isClosed) raw.flushHeaders()
    },
    write: (piece) => isClosed || raw.write(piece),
    writeThrough: (piece) =>
      new Promise((resolve) => {
        if (isClosed) return resolve()
        raw.once('close', resolve)
        raw.write(piece, () => {
          raw.off('close', resolve)
          resolve()
        })
      }),
    onDrain: (listener) => {
      raw.once('drain', listener)
    },
    onClose: (listener) => {
      if (isClosed) listener()
      else raw.once('close', listener)
    },
    end: (piece = '') => {
      if (!isClosed) raw.end(piece)
    },
    get isClosed() {
      return isClosed
    },
  }
}

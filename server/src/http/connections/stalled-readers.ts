import { constants, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2'
import type { Server, Socket } from 'node:net'
import type { Patience } from './patience.ts'

/** Bytes that a reader has taken, and since when it has taken no more, or had nothing waiting. */
type Taken = { bytes: number; at: number }
type SessionUse = { streams: Set<ServerHttp2Stream>; at: number }

/**
 * Closes connections whose reader takes nothing of what waits for it, and those of HTTP/2 on which nothing is asked. A
 * connection that waits for the server is neither.
 */
export function watchReaders(server: Server, patience: Patience): { stop(): void } {
  const readers = new Map<Socket, Taken>()
  const sessions = new Map<ServerHttp2Session, SessionUse>()

  function follow(socket: Socket): void {
    readers.set(socket, { bytes: 0, at: performance.now() })
    socket.once('close', () => readers.delete(socket))
  }
  server.on('connection', follow)
  // With TLS what waits for a reader waits here, and not in the connection below.
  server.on('secureConnection', follow)
  server.on('session', (session: ServerHttp2Session) => sessions.set(session, followSession(session, patience)))

  const timer = setInterval(() => {
    const now = performance.now()
    for (const [socket, taken] of readers) {
      if (hasStalled(socket, taken, now, patience.unreadMs)) socket.destroy()
    }
    for (const [session, use] of sessions) {
      if (session.destroyed) sessions.delete(session)
      else if (use.streams.size === 0 && now - use.at > patience.idleMs) hangUp(session, patience)
      else closeAnswered(use.streams)
    }
  }, patience.lookEveryMs)
  timer.unref()
  return { stop: () => clearInterval(timer) }
}

function hasStalled(socket: Socket, taken: Taken, now: number, unreadMs: number): boolean {
  const bytes = socket.bytesWritten - socket.writableLength
  if (socket.writableLength > 0 && bytes === taken.bytes) return now - taken.at > unreadMs
  taken.bytes = bytes
  taken.at = now
  return false
}

/** Pings keep a session from being taken for idle by Node.js; here only streams count. */
function followSession(session: ServerHttp2Session, { unreadMs }: Patience): SessionUse {
  const use: SessionUse = { streams: new Set(), at: performance.now() }
  session.on('stream', (stream: ServerHttp2Stream) => {
    use.streams.add(stream)
    stream.once('close', () => {
      use.streams.delete(stream)
      use.at = performance.now()
    })
    // Node.js calls it when nothing has come or gone; a stream that waits for the server is not meant.
    stream.setTimeout(unreadMs, () => {
      if (stream.writableLength > 0) stream.close(constants.NGHTTP2_CANCEL)
    })
  })
  return use
}

/**
 * A client that never ends its side does not hold a stream whose answer is whole (RFC 9113, section 8.1). Node.js sees to that
 * by itself for all answers but those to HEAD, and only then tells that they are over.
 */
function closeAnswered(streams: ReadonlySet<ServerHttp2Stream>): void {
  for (const stream of streams) if (stream.writableFinished && !stream.closed) stream.close()
}

function hangUp(session: ServerHttp2Session, { lingerMs }: Patience): void {
  session.close()
  setTimeout(() => session.destroy(), lingerMs).unref()
}

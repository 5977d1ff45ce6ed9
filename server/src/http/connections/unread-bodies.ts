import type { ServerHttp2Stream } from 'node:http2'
import { Socket } from 'node:net'
import type { FastifyReply, FastifyRequest } from 'fastify'

/*
 * An answer that comes before the body of its request has come. Whoever still sends would send on for nothing, and a
 * connection that is simply closed makes the system send a reset, which takes the answer from a client that has not
 * read it yet. So the server says that it closes, ends its own side, and goes on for a while to throw away what comes.
 */

/** Closes a connection whose other side may still be sending, so that it sees what was written to it. */
export function closeGently(socket: Socket, lingerMs: number): void {
  if (socket.destroyed) return
  if (!socket.writableEnded) socket.end()
  socket.resume()
  const timer = setTimeout(() => socket.destroy(), lingerMs)
  timer.unref()
  socket.once('close', () => clearTimeout(timer))
}

/** Whether a request has a body, as its head says. */
export function hasBody(raw: FastifyRequest['raw']): boolean {
  const { headers } = raw
  // HTTP/2 needs no header for that.
  if (isHttp2(raw)) return streamOf(raw)?.endAfterHeaders === false
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0
}

/** Call it before a refusal is sent: if the body is not there yet, the connection is closed gently behind it. */
export function refuseBody({ raw }: FastifyRequest, reply: FastifyReply, lingerMs: number): void {
  // Fastify sets it when a body is no good, and HTTP/2 knows no such header.
  if (isHttp2(raw)) reply.removeHeader('connection')
  if (raw.complete || !hasBody(raw)) return
  if (isHttp2(raw)) {
    // The answer is whole (RFC 9113, section 8.1): the client may stop.
    const stream = streamOf(raw)
    stream?.once('finish', () => stream.close())
    return
  }
  const { socket } = raw
  if (!(socket instanceof Socket)) return
  reply.header('connection', 'close')
  // What Node.js calls when the last answer of a connection is written.
  socket.destroySoon = () => closeGently(socket, lingerMs)
}

/** Call it after an answer: a body that nobody reads has only so much time left. Over HTTP/2 a whole answer is the end. */
export function leaveBody({ raw }: FastifyRequest, lingerMs: number): void {
  if (raw.complete || isHttp2(raw)) return
  const { socket } = raw
  // A request that was injected has come over no connection.
  if (!(socket instanceof Socket)) return
  const timer = setTimeout(() => {
    if (!raw.complete) socket.destroy()
  }, lingerMs)
  timer.unref()
}

/** Not by its version: on a connection of HTTP/1 a request may call itself `HTTP/2.0`. */
export function isHttp2(raw: FastifyRequest['raw']): boolean {
  return streamOf(raw) !== undefined
}

/** The stream of a request over HTTP/2. */
export function streamOf(raw: FastifyRequest['raw'] & { stream?: ServerHttp2Stream }): ServerHttp2Stream | undefined {
  return raw.stream
}

/** Whether nobody waits for the answer any more. */
export function hasHungUp(raw: FastifyRequest['raw']): boolean {
  return streamOf(raw)?.destroyed ?? raw.socket.destroyed
}

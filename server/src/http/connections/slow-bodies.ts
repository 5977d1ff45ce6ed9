import type { FastifyReply, FastifyRequest } from 'fastify'
import { AppError } from '../../errors.ts'
import type { Patience } from './patience.ts'

type Payload = FastifyRequest['raw']
type Arrival = { reply: FastifyReply; payload: Payload; since: number; bytes: () => number }

export type BodyWatch = ReturnType<typeof watchBodies>

/**
 * Follows the bodies that are on their way, and gives up those that come too slowly: a body of n bytes has `bodyMs` and
 * the time that n bytes take at `bodyBytesPerSecond`. So a large file may take its time, and a byte now and then may not.
 */
export function watchBodies(patience: Patience) {
  const arrivals = new Map<FastifyRequest, Arrival>()
  const timer = setInterval(giveUpSlowOnes, patience.lookEveryMs)
  timer.unref()

  function giveUpSlowOnes(): void {
    const now = performance.now()
    for (const [request, { reply, payload, since, bytes }] of arrivals) {
      const allowedMs = patience.bodyMs + (bytes() / patience.bodyBytesPerSecond) * 1_000
      const isOver = reply.sent || payload.destroyed || payload.complete
      if (!isOver && now - since <= allowedMs) continue
      arrivals.delete(request)
      // Whoever reads the body takes it for broken, and answers; the connection itself is whole.
      if (!isOver) payload.emit('error', tooSlow())
    }
  }

  return {
    /** A body is about to be read. Call it right before that: what HTTP/2 brings flows from here on. */
    began(request: FastifyRequest, reply: FastifyReply): void {
      const payload = request.raw
      arrivals.set(request, { reply, payload, since: performance.now(), bytes: countBytes(payload) })
    },
    /** The body is there. */
    arrived(request: FastifyRequest): void {
      arrivals.delete(request)
    },
    stop(): void {
      clearInterval(timer)
    },
  }
}

function tooSlow(): AppError {
  return new AppError('bad_request', 'the body came too slowly', { refusedBy: 'slow_body' })
}

/** In HTTP/1.1 a body has the connection for itself, which counts already. */
function countBytes(payload: Payload): () => number {
  if (payload.httpVersionMajor === 1) {
    const { socket } = payload
    const before = socket.bytesRead
    return () => socket.bytesRead - before
  }
  let bytes = 0
  payload.on('data', (piece: Buffer) => {
    bytes += piece.length
  })
  return () => bytes
}

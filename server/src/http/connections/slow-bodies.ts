import type { FastifyReply, FastifyRequest } from 'fastify'
import { AppError } from '../../errors.ts'
import type { Patience } from './patience.ts'
import { hasHungUp, isHttp2 } from './unread-bodies.ts'

type Payload = FastifyRequest['raw']
type Arrival = {
  reply: FastifyReply
  payload: Payload
  since: number
  bytes: () => number
  /** How far it was when something had last come, and when that was seen. */
  progress: { bytes: number; at: number }
}

/** Bytes of bodies that may be on their way at a time: of one key, and in all. */
const MOST_UNDER_WAY = { ofKey: 128 * 1_024 * 1_024, inAll: 512 * 1_024 * 1_024 }

export type BodyWatch = ReturnType<typeof watchBodies>

/**
 * Follows the bodies that are on their way, and gives up those that come too slowly: a body of n bytes has `bodyMs` and
 * the time that n bytes take at `bodyBytesPerSecond`, and something of it has to come in each `bodyMs`. So a large file may
 * take its time, a byte now and then may not, and who has sent much must not stop for long. What is on its way is held in
 * memory, so there is a bound for all of it.
 */
export function watchBodies(patience: Patience) {
  const arrivals = new Map<FastifyRequest, Arrival>()
  const bytesOfKey = new Map<string, number>()
  let bytesUnderWay = 0
  const timer = setInterval(giveUpSlowOnes, patience.lookEveryMs)
  timer.unref()

  function giveUpSlowOnes(): void {
    const now = performance.now()
    for (const [request, { reply, payload, since, bytes, progress }] of arrivals) {
      const come = bytes()
      if (come > progress.bytes) Object.assign(progress, { bytes: come, at: now })
      const allowedMs = patience.bodyMs + (come / patience.bodyBytesPerSecond) * 1_000
      const isOver = reply.sent || hasHungUp(payload)
      // One that is there and waits to be read is held in memory all the same.
      const isThere = payload.destroyed || payload.complete
      if (!isOver && (isThere || (now - since <= allowedMs && now - progress.at <= patience.bodyMs))) continue
      forget(request)
      // Whoever reads the body takes it for broken, and answers; the connection itself is whole.
      if (!isOver) payload.emit('error', tooSlow())
    }
  }

  function forget(request: FastifyRequest): void {
    if (!arrivals.delete(request)) return
    const key = keyOf(request)
    const size = sizeOf(request)
    bytesUnderWay -= size
    const left = (bytesOfKey.get(key) ?? 0) - size
    if (left > 0) bytesOfKey.set(key, left)
    else bytesOfKey.delete(key)
  }

  return {
    /**
     * A body is about to be read. Call it right before that: what HTTP/2 brings flows from here on. Gives back the error
     * for one that is too much beside the others.
     */
    began(request: FastifyRequest, reply: FastifyReply): AppError | null {
      // Most bodies come in one piece with their head, while the key is looked up.
      if (!isHttp2(request.raw) && request.raw.complete) return null
      const size = sizeOf(request)
      const key = keyOf(request)
      const ofKey = (bytesOfKey.get(key) ?? 0) + size
      if (ofKey > MOST_UNDER_WAY.ofKey || bytesUnderWay + size > MOST_UNDER_WAY.inAll) {
        return tooMuch(Math.min(MOST_UNDER_WAY.ofKey + size - ofKey, MOST_UNDER_WAY.inAll - bytesUnderWay))
      }
      bytesOfKey.set(key, ofKey)
      bytesUnderWay += size
      const payload = request.raw
      const at = performance.now()
      const progress = { bytes: 0, at }
      arrivals.set(request, { reply, payload, since: at, bytes: countBytes(payload), progress })
      return null
    },
    /** The body is there. */
    arrived(request: FastifyRequest): void {
      forget(request)
    },
    stop(): void {
      clearInterval(timer)
    },
  }
}

const keyOf = ({ caller }: FastifyRequest) => (caller as FastifyRequest['caller'] | null)?.keyId ?? ''

/** Bytes that a body says it will have; one that says nothing may have as many as its route takes. */
function sizeOf({ raw, routeOptions }: FastifyRequest): number {
  const length = raw.headers['content-length']
  return length === undefined ? (routeOptions.bodyLimit ?? 0) : Number(length)
}

/** `left`: bytes that the key may still send at the moment. */
function tooMuch(left: number): AppError {
  const message = 'too many bytes of bodies are on their way'
  return new AppError('rate_limited', message, {
    refusedBy: 'bodies_under_way',
    retryAfterMs: 1_000,
    quota: { limit: MOST_UNDER_WAY.ofKey, remaining: Math.max(0, left), resetMs: 1_000 },
  })
}

function tooSlow(): AppError {
  return new AppError('bad_request', 'the body came too slowly', { refusedBy: 'slow_body' })
}

/** In HTTP/1.1 a body has the connection for itself, which counts already. */
function countBytes(payload: Payload): () => number {
  if (!isHttp2(payload)) {
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

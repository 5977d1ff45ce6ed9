import type { FastifyInstance } from 'fastify'
import { AppError } from '../../errors.ts'
import { createFairPlaces } from '../../lib/fairness/fair-places.ts'
import { isGone } from '../answers/raw-stream.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** May stay open for as long as a turn takes, or its reader: only so many may at the same time. */
    mayLast?: boolean
  }
}

/** Milliseconds: places become free all the time. */
const RETRY_AFTER_MS = 1_000

/**
 * Bounds the requests that may stay open for long (`config.mayLast`): who waits for a turn or a place in a line, who reads
 * events or an export, and however slowly. Each has memory, a timer or looks into the database of its own. They are refused
 * before anything of them is read: with 429 for more than a key or an organization may have, else with 503.
 */
export function limitOpenRequests(
  app: FastifyInstance,
  options: { perKey: number; inAll: number; isShared: () => boolean },
): { count(): number } {
  const places = createFairPlaces(options)
  app.addHook('onRequest', (request, reply, done) => {
    if (!request.routeOptions.config.mayLast || !request.caller) return done()
    const obstacle = places.obstacle(request.caller)
    if (obstacle) return done(refusal(obstacle.limit, obstacle.most))
    const leave = places.occupy(request.caller)
    if (isGone(reply)) leave()
    else reply.raw.once('close', leave)
    done()
  })
  return { count: places.count }
}

function refusal(limit: 'all' | 'organization' | 'key', most: number): AppError {
  const refusedBy = 'open_requests'
  if (limit === 'all') {
    const message = `the server has ${most} requests open that last, which are as many as it may have`
    return new AppError('unavailable', message, { refusedBy, retryAfterMs: RETRY_AFTER_MS })
  }
  const whose = limit === 'key' ? 'this API key' : 'this organization'
  const message = `${whose} has ${most} requests open that last, which are as many as it may have`
  const quota = { limit: most, remaining: 0, resetMs: RETRY_AFTER_MS }
  return new AppError('rate_limited', message, { refusedBy, retryAfterMs: RETRY_AFTER_MS, quota })
}

import type { FastifyInstance } from 'fastify'
import type { Clock } from '../../lib/clock.ts'
import type { Log } from '../../lib/log.ts'
import type { Database } from '../../storage/database.ts'
import type { Riders } from '../../storage/riders.ts'
import { answerOnce } from './idempotency-hooks.ts'
import { createIdempotencyService, lookAfterClaims } from './idempotency-service.ts'

/** Requests that are sent again and carried out once. */
export function createIdempotency(deps: { database: Database; clock: Clock; log: Log; ride: Riders['ride'] }) {
  const idempotency = createIdempotencyService(deps)
  return {
    /** For the routes that are registered after it, and before what counts requests: see {@link answerOnce}. */
    attach: (app: FastifyInstance, showAgain: Parameters<typeof answerOnce>[1]['showAgain']): void =>
      answerOnce(app, { idempotency, ride: deps.ride, showAgain }),
    upkeep: lookAfterClaims(deps),
  }
}

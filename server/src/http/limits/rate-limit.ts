import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { AppError, type Quota } from '../../errors.ts'

/** How a bucket stands after it was looked at: `isAllowed` says whether there was a token. */
export type BucketState = Quota & { isAllowed: boolean; retryAfterMs: number }
export type TokenBuckets = ReturnType<typeof createTokenBuckets>

const MINUTE_MS = 60_000

/** What fractions of tokens may be off by, so that who waits as long as asked finds a whole one. */
const ROUNDING = 1e-6

/** How many buckets that are full again a request clears away: more than one, so that they become fewer. */
const CLEARED_AT_ONCE = 2

/**
 * A bucket for each id: it holds as many tokens as a minute has, loses one with each request, and fills up again evenly
 * over a minute. A full bucket is the same as none, so only ids of the last minute are kept, and no more than `most`: then
 * the one that was used longest ago is given up.
 */
export function createTokenBuckets(options: { perMinute: number; now: () => number; most?: number }) {
  const { perMinute, now, most = Number.POSITIVE_INFINITY } = options
  const msPerToken = MINUTE_MS / perMinute
  /** Tokens that were spent and have not come back at the time `at`; those that were used last stand last. */
  const buckets = new Map<string, { spent: number; at: number }>()

  function spentBy(id: string, at: number): number {
    const bucket = buckets.get(id)
    return bucket ? Math.max(0, bucket.spent - (at - bucket.at) / msPerToken) : 0
  }

  const hasToken = (spent: number) => spent + 1 <= perMinute + ROUNDING

  function stateOf(spent: number, isAllowed: boolean): BucketState {
    return {
      isAllowed,
      limit: perMinute,
      remaining: Math.max(0, Math.floor(perMinute - spent + ROUNDING)),
      resetMs: spent * msPerToken,
      retryAfterMs: Math.max(0, (spent + 1 - perMinute) * msPerToken),
    }
  }

  function clearFullOnes(at: number): void {
    for (const [id, bucket] of [...buckets.entries().take(CLEARED_AT_ONCE)]) {
      if (at - bucket.at < bucket.spent * msPerToken) return
      buckets.delete(id)
    }
  }

  return {
    /** Takes a token if there is one. */
    take(id: string): BucketState {
      const at = now()
      const spent = spentBy(id, at)
      const isAllowed = hasToken(spent)
      const after = isAllowed ? spent + 1 : spent
      buckets.delete(id)
      buckets.set(id, { spent: after, at })
      clearFullOnes(at)
      if (buckets.size > most) buckets.delete(buckets.keys().next().value as string)
      return stateOf(after, isAllowed)
    },

    /** Puts a token back that was taken. */
    giveBack(id: string): void {
      const bucket = buckets.get(id)
      if (bucket) bucket.spent -= 1
    },

    /** How the bucket stands, and takes nothing. */
    look(id: string): BucketState {
      const spent = spentBy(id, now())
      return stateOf(spent, hasToken(spent))
    },

    /** How many buckets are kept. */
    size: (): number => buckets.size,
  }
}

/**
 * Limits the requests of each API key, and says in the headers of every answer how many are left. Each is counted before
 * its body is read, and refused then as well. Only one that may be a replay (it has an `Idempotency-Key`) is refused in
 * front of its handler: if `isReplay` says that it is one, it is free. So call this after what finds that out.
 */
export function limitRequests(
  app: FastifyInstance,
  options: { perMinute: number; now: () => number; isReplay: (request: FastifyRequest) => boolean },
): void {
  if (options.perMinute === 0) return
  const buckets = createTokenBuckets(options)
  const withoutToken = new WeakSet<FastifyRequest>()

  app.addHook('onRequest', (request, reply, done) => {
    if (!request.caller) return done()
    const state = buckets.take(request.caller.keyId)
    showQuota(reply, state)
    if (state.isAllowed) return done()
    if (!mayBeReplay(request)) return done(refusal(state))
    withoutToken.add(request)
    done()
  })

  app.addHook('preHandler', (request, reply, done) => {
    if (!request.caller || !mayBeReplay(request)) return done()
    const { keyId } = request.caller
    const hasToken = !withoutToken.has(request)
    if (!options.isReplay(request)) return done(hasToken ? undefined : refusal(buckets.look(keyId)))
    if (hasToken) {
      buckets.giveBack(keyId)
      showQuota(reply, buckets.look(keyId))
    }
    done()
  })
}

function refusal(state: BucketState): AppError {
  return new AppError('rate_limited', `this API key may send ${state.limit} requests a minute`, {
    refusedBy: 'request_rate',
    quota: state,
    retryAfterMs: state.retryAfterMs,
  })
}

const REPEATABLE: ReadonlySet<string> = new Set(['POST', 'PATCH', 'PUT'])

function mayBeReplay({ method, headers }: FastifyRequest): boolean {
  return headers['idempotency-key'] !== undefined && REPEATABLE.has(method)
}

/** Puts `RateLimit-Limit`, `-Remaining` and `-Reset` (seconds) on an answer. */
export function showQuota(reply: FastifyReply, quota: Quota): void {
  reply.header('ratelimit-limit', quota.limit)
  reply.header('ratelimit-remaining', quota.remaining)
  reply.header('ratelimit-reset', Math.ceil(quota.resetMs / 1_000))
}

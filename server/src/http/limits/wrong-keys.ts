import type { FastifyRequest } from 'fastify'
import { AppError } from '../../errors.ts'
import { networkOf } from '../../lib/networks.ts'
import type { ClientOf } from '../connections/client-address.ts'
import { createTokenBuckets } from './rate-limit.ts'

/** Addresses that are remembered, about 2 MB: those of more go first that have been quiet longest. */
const MOST_ADDRESSES = 10_000

/**
 * Slows down who guesses keys: tells what to answer to a request whose key is unknown. Right keys of others behind the
 * same address are not touched, since only wrong ones are counted and refused. `perMinute` is for one
 * address; 0 is no limit.
 */
export function createWrongKeys(options: { perMinute: number; clientOf: ClientOf; now: () => number }) {
  const { perMinute, clientOf, now } = options
  const buckets = perMinute === 0 ? null : createTokenBuckets({ perMinute, most: MOST_ADDRESSES, now })
  return (request: FastifyRequest): AppError => {
    const state = buckets?.take(networkOf(clientOf(request) ?? ''))
    if (!state || state.isAllowed) return new AppError('unauthorized', 'the API key is unknown, revoked or expired')
    return new AppError('rate_limited', 'too many wrong API keys have come from this address', {
      refusedBy: 'wrong_keys',
      quota: state,
      retryAfterMs: state.retryAfterMs,
    })
  }
}

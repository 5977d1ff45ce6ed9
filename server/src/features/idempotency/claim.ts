import { AppError } from '../../errors.ts'
import { type Statement, WriteConflict } from '../../storage/database.ts'
import { RiderRefused } from '../../storage/riders.ts'

/** Headers of an answer that come again when it is given again. */
export type KeptHeaders = Readonly<Record<string, string>>

/** What makes a request that begins a run known when it is sent again: the statement belongs into the run's own batch. */
export type Claim = {
  id: string
  statement(run: { conversationId: string; runId: string }, headers?: KeptHeaders): Statement
}

/** What is known of a request that was sent before. */
export type KnownClaim = {
  conversationId: string | null
  /** The run that it began; its answer is read from there. */
  runId: string | null
  headers: KeptHeaders
  /** The answer of one that began no run; the status is null while it is not there yet. */
  status: number | null
  body: string | null
  createdAt: number
}

/** A request with an `Idempotency-Key`. */
export type KeyedRequest = {
  organizationId: string
  claim: Claim
  /** Of the request that came first, if this one is not the first. */
  known: KnownClaim | null
  /** Looks again. Throws 409 when another body came first. */
  look(): Promise<KnownClaim | null>
  /** What its answer shows: with a conversation that is deleted, the answer is gone too. */
  conversationId: string | null
  /** The requests that are being started in this process, under names that those share that are the same in all. */
  starts: Map<string, Promise<unknown>>
  startName: string
}

/** The constraint that lets one of many requests with the same key through. */
export const CLAIM_IS_TAKEN = 'idempotency_claim_pkey'

function isTaken(error: unknown): boolean {
  return (error instanceof RiderRefused || error instanceof WriteConflict) && error.constraint === CLAIM_IS_TAKEN
}

/** How often to start over because the request that came first has failed and given the key back. */
const MOST_TRIES = 20

/**
 * Starts what a request asks for, or attaches to what the first request with its key has started. Also when `start`
 * fails: that the first one has come in between is often why. `isOurs` says that the claim is our own by then.
 * Duplicates in one process let the first of them start and share its error; so they take no places of limits, and a
 * crowd of them is one write. Those of other nodes meet at the claim's primary key.
 */
export async function once<T>(
  keyed: KeyedRequest | null,
  start: () => Promise<T>,
  attach: (known: KnownClaim) => Promise<T>,
  isOurs: () => boolean = () => false,
): Promise<T> {
  if (!keyed) return start()
  let { known } = keyed
  for (let tries = 0; tries < MOST_TRIES; tries++) {
    if (known) return attach(known)
    const first = keyed.starts.get(keyed.startName)
    try {
      if (!first) return await startAsFirst(keyed, start)
      await first
      known = await keyed.look()
    } catch (error) {
      if (!first && isOurs()) throw error
      known = await keyed.look()
      if (!known && !isTaken(error)) throw error
    }
  }
  throw firstHasFailed()
}

function startAsFirst<T>({ starts, startName }: KeyedRequest, start: () => Promise<T>): Promise<T> {
  const started = start()
  const forget = () => void starts.delete(startName)
  starts.set(startName, started)
  started.then(forget, forget)
  return started
}

/** For a request whose forerunner has given the key back: the next one with the key starts over. */
export function firstHasFailed(): AppError {
  return new AppError(
    'unavailable',
    'the request that came first with this Idempotency-Key has failed; send it again',
    {
      retryAfterMs: 1_000,
    },
  )
}

import { setTimeout as wait } from 'node:timers/promises'
import { AppError } from '../../errors.ts'
import type { Clock } from '../../lib/clock.ts'
import { type Repeated, repeat } from '../../lib/repeat.ts'
import { type Database, type Statement, WriteConflict } from '../../storage/database.ts'
import { CLAIM_IS_TAKEN, firstHasFailed, type KeptHeaders, type KeyedRequest, type KnownClaim } from './claim.ts'
import {
  deleteClaim,
  deleteClaimOfRun,
  deleteOldClaims,
  insertClaim,
  insertClaimAbout,
  selectClaim,
  storeAnswer,
} from './claim-queries.ts'
import { type Act, canonicalJson, claimIdOf, hash, operationOf } from './request-identity.ts'

/** An answer as it went out. */
export type Answer = { status: number; headers: KeptHeaders; body: string | null }
export type IdempotencyService = ReturnType<typeof createIdempotencyService>

/** How long a request is remembered, in milliseconds. */
export const KEPT_MS = 24 * 60 * 60_000
/** Milliseconds between looks for claims that are old enough to go. */
const SWEEP_EVERY_MS = 5 * 60_000
/** How many go in one write: other writes wait for it. */
const SWEPT_AT_ONCE = 1_000

/**
 * Milliseconds from the effect of a request to its stored answer. Usually it is a few; after this many the server that
 * worked on it has died in between.
 */
const ANSWER_MS = 10_000
/** Milliseconds between looks for the answer of a request that is under way. */
const LOOK_MS = 50

/** Remembers requests that named an `Idempotency-Key`, each in the batch of its effect, and what they were answered. */
export function createIdempotencyService(deps: { database: Database; clock: Clock }) {
  const { database, clock } = deps
  const starts = new Map<string, Promise<unknown>>()
  /** The answers that are waited for, under what those share who wait for the same. */
  const awaited = new Map<string, Promise<Answer>>()

  function statementFor(
    keyed: { organizationId: string; conversationId: string | null; claim: { id: string }; bodyHash: string },
    runId: string | null,
    headers: KeptHeaders,
    answer: { status: number | null; body: string | null },
  ): Statement {
    const { organizationId, conversationId, claim, bodyHash } = keyed
    return insertClaim(database, {
      organizationId,
      id: claim.id,
      bodyHash,
      conversationId,
      runId,
      ...answer,
      headers: textOf(headers),
      createdAt: clock(),
    })
  }

  async function find(organizationId: string, id: string, bodyHash: string): Promise<KnownClaim | null> {
    const row = (await selectClaim(database, { organizationId, id }))[0]
    if (!row) return null
    if (row.body_hash !== bodyHash) {
      throw new AppError('conflict', 'this Idempotency-Key came with another body before')
    }
    return {
      conversationId: row.conversation_id,
      runId: row.run_id,
      headers: row.headers === null ? {} : (JSON.parse(row.headers) as KeptHeaders),
      status: row.status,
      body: row.body,
      createdAt: row.created_at,
    }
  }

  async function waitForAnswer(keyed: KeyedRequest, known: KnownClaim): Promise<Answer> {
    const until = Math.min(known.createdAt, clock()) + ANSWER_MS
    for (let claim: KnownClaim | null = known; claim; claim = await keyed.look()) {
      if (claim.status !== null) return { status: claim.status, headers: claim.headers, body: claim.body }
      if (clock() > until) throw answerIsLost(claim)
      await wait(LOOK_MS)
    }
    throw firstHasFailed()
  }

  return {
    /** Looks a request up by its key. Throws 409 when the key came with another body before. */
    async recognize(request: {
      organizationId: string
      /** The API key. */
      keyId: string
      key: string
      act: Act
      body: unknown
      conversationId: string | null
    }): Promise<IdentifiedRequest> {
      const { organizationId, conversationId, keyId, key, act, body } = request
      const id = claimIdOf(operationOf(act), key)
      const bodyHash = hash(canonicalJson(body))
      const look = () => find(organizationId, id, bodyHash)
      return {
        organizationId,
        conversationId,
        bodyHash,
        look,
        known: await look(),
        // With the API key, because what one may not do another may.
        starts,
        startName: `${keyId} ${id} ${bodyHash}`,
        claim: {
          id,
          statement: ({ conversationId, runId }, headers = {}) =>
            statementFor({ organizationId, conversationId, claim: { id }, bodyHash }, runId, headers, NO_ANSWER),
        },
      }
    },

    /** The statement that claims the key of a request that begins no run. */
    claim: (keyed: IdentifiedRequest): Statement => statementFor(keyed, null, {}, NO_ANSWER),

    /** Keeps the answer of a request that has claimed its key. */
    async keep(keyed: IdentifiedRequest, { status, headers, body }: Answer): Promise<void> {
      const { organizationId, conversationId, claim } = keyed
      const answer = { status, headers: JSON.stringify(headers), body, conversationId }
      await database.write([storeAnswer(database, { organizationId, id: claim.id, ...answer })])
    },

    /** Claims the key of a request that has changed nothing, together with its answer. */
    async claimAnswered(keyed: IdentifiedRequest, { status, headers, body }: Answer): Promise<void> {
      const { organizationId, conversationId, claim, bodyHash } = keyed
      const about = { organizationId, id: claim.id, bodyHash, status, body, headers: textOf(headers) }
      try {
        await database.write([
          conversationId === null
            ? statementFor(keyed, null, headers, { status, body })
            : insertClaimAbout(database, { ...about, conversationId, createdAt: clock() }),
        ])
      } catch (error) {
        // Another one with the same key was answered at the same time; it has changed nothing either.
        if (!(error instanceof WriteConflict) || error.constraint !== CLAIM_IS_TAKEN) throw error
      }
    },

    /** Gives the key of a request back: the next one with it starts over. */
    async release({ organizationId, claim }: IdentifiedRequest): Promise<void> {
      await database.write([deleteClaim(database, { organizationId, id: claim.id })])
    },

    /**
     * The answer of the request that came first; waits while that is under way. Throws 409 when the server died before
     * the answer was stored, and 503 when the request has failed and given the key back.
     */
    answerOf(keyed: KeyedRequest, known: KnownClaim): Promise<Answer> {
      if (known.status !== null) return waitForAnswer(keyed, known)
      const name = `${keyed.organizationId} ${keyed.startName}`
      const answer = awaited.get(name) ?? waitForAnswer(keyed, known).finally(() => awaited.delete(name))
      awaited.set(name, answer)
      return answer
    },
  }
}

/** A request that was looked up. */
export type IdentifiedRequest = KeyedRequest & { bodyHash: string }

function textOf(headers: KeptHeaders): string | null {
  return Object.keys(headers).length === 0 ? null : JSON.stringify(headers)
}

const NO_ANSWER = { status: null, body: null }

function answerIsLost({ conversationId }: KnownClaim): AppError {
  const message = 'the request with this Idempotency-Key was carried out, but the server stopped before it had answered'
  return new AppError('conflict', message, conversationId === null ? {} : { conversationId })
}

/** Gives the key back whose request began a run, for the batch that ends the run. */
export function releaseClaimOfRun(
  database: Database,
  run: { organizationId: string; claimId: string; runId: string },
): Statement {
  const { organizationId, claimId, runId } = run
  return deleteClaimOfRun(database, { organizationId, id: claimId, runId })
}

/** Forgets requests that are older than 24 hours at the moment; says how many. */
export async function sweepClaims({ database, clock }: { database: Database; clock: Clock }): Promise<number> {
  const createdBefore = clock() - KEPT_MS
  for (let swept = 0; ; ) {
    const [touched] = await database.write([deleteOldClaims(database, { createdBefore, limit: SWEPT_AT_ONCE })])
    swept += touched as number
    if ((touched as number) < SWEPT_AT_ONCE) return swept
  }
}

/** Does that from time to time. */
export function lookAfterClaims(deps: {
  database: Database
  clock: Clock
  log: { warn(fields: object, message: string): void }
}): Repeated {
  const warn = (error: unknown) => deps.log.warn({ err: error }, 'old idempotency keys could not be swept')
  return repeat(async () => void (await sweepClaims(deps)), SWEEP_EVERY_MS, warn)
}

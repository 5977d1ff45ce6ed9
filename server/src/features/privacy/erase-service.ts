import { AppError } from '../../errors.ts'
import type { Clock } from '../../lib/clock.ts'
import { createFairPlaces } from '../../lib/fairness/fair-places.ts'
import { createFairQueue } from '../../lib/fairness/fair-queue.ts'
import type { IdSource } from '../../lib/ids.ts'
import { type Repeated, repeat } from '../../lib/repeat.ts'
import type { Database } from '../../storage/database.ts'
import type { RunStopper } from '../turns/run-stopper.ts'
import type { Eraser } from '../unclaimed-blobs/blob-eraser.ts'
import {
  closeConversations,
  deleteErasure,
  ERASED_TABLES,
  type Erasure,
  eraseConversations,
  findErasures,
  findToErase,
  forgetTarget,
  insertErasure,
  type Target,
} from './erase-queries.ts'

export type EraseService = ReturnType<typeof createEraseService>

/** Milliseconds between looks for erasures that were left unfinished, and the age from which one is taken for that. */
const RESUME_MS = 60_000

/** Erasures that delete rows at the same time, those of one organization, and requests that wait: in all, and of each. */
const ERASING = { atOnce: 2, atOnceEach: [1], most: 500, each: 100 }

/**
 * Erases for good: rows, and what they had left in the database's files. A marker is stored first, so that an erasure
 * goes on after a crash; every step may be done again.
 */
export function createEraseService(deps: {
  database: Database
  ids: IdSource
  clock: Clock
  turns: Pick<RunStopper, 'stopAll'>
  /** Called before the rows of the conversations go, because they may say where the rest is. */
  erasers: readonly Eraser[]
}) {
  const { database, ids, clock, turns, erasers } = deps
  const underWay = new Map<string, Promise<void>>()
  const stopping = new AbortController()
  // How many wait is bounded by the places, and by what is stored.
  const queue = createFairQueue({ ...ERASING, most: Number.POSITIVE_INFINITY })
  const places = createFairPlaces({ perKey: ERASING.each, inAll: ERASING.most })

  /** Takes a place among the requests that wait for an erasure. Throws 429. */
  function enter(organizationId: string): () => void {
    // An organization counts as one key: whose of its keys asks makes no difference.
    const holder = { organizationId, keyId: organizationId }
    if (places.obstacle(holder) === null) return places.occupy(holder)
    throw new AppError('rate_limited', 'as many erasures are under way as may be', {
      refusedBy: 'erasures',
      retryAfterMs: 1_000,
      quota: { limit: ERASING.each, remaining: 0, resetMs: 1_000 },
    })
  }

  async function eraseRows(organizationId: string, target: Target): Promise<void> {
    for (;;) {
      if (stopping.signal.aborted) throw stopped()
      const found = await findToErase(database, organizationId, target)
      if (found.length === 0) return
      // In this order: no turn begins on a closed conversation, so those that are stopped are the last ones.
      await database.write([closeConversations(database, organizationId, found, clock())])
      await turns.stopAll(organizationId, found)
      for (const erase of erasers) await erase(organizationId, found)
      await database.write(eraseConversations(database, organizationId, found, clock()))
    }
  }

  async function carryOut({ organizationId, id, target }: Erasure): Promise<void> {
    if (target) {
      const leave = await queue.enter([organizationId])
      await eraseRows(organizationId, target).finally(leave)
      await database.write([forgetTarget(database, { organizationId, id })])
    }
    await database.scrub(ERASED_TABLES, stopping.signal).catch((error: unknown) => {
      throw stopping.signal.aborted ? stopped() : error
    })
    await database.write([deleteErasure(database, { organizationId, id })])
  }

  function finish(erasure: Erasure): Promise<void> {
    const known = underWay.get(erasure.id)
    if (known) return known
    const done = carryOut(erasure).finally(() => underWay.delete(erasure.id))
    underWay.set(erasure.id, done)
    return done
  }

  async function erase(organizationId: string, target: Target): Promise<void> {
    const erasure = { organizationId, id: ids.next(), target, createdAt: clock() }
    const { id, createdAt } = erasure
    const named = { externalUserId: null, conversationId: null, ...target }
    await database.write([insertErasure(database, { organizationId, id, createdAt, ...named })])
    await finish(erasure)
  }

  return {
    /**
     * Erases everything of a user, deleted conversations too, and resolves when it is gone. Turns that are running are
     * cancelled. For a user that nobody knows there is nothing to do but what others have not finished: one that was
     * erased a moment ago has its rows gone, and not yet what is left in files. Throws 429 when too many are waiting.
     */
    async eraseUser(organizationId: string, externalUserId: string): Promise<void> {
      const target = { externalUserId }
      const leave = enter(organizationId)
      try {
        if ((await findToErase(database, organizationId, target)).length > 0) return await erase(organizationId, target)
        for (const left of await findErasures(database, clock())) {
          if (left.organizationId === organizationId) await finish(left)
        }
      } finally {
        leave()
      }
    },

    /** The same for one conversation. Throws 404 and 429. */
    async eraseConversation(organizationId: string, conversationId: string): Promise<void> {
      const target = { conversationId }
      const leave = enter(organizationId)
      try {
        const found = await findToErase(database, organizationId, target)
        if (found.length === 0) throw new AppError('not_found', 'there is no such conversation')
        await erase(organizationId, target)
      } finally {
        leave()
      }
    },

    /** Ends erasures under way between two batches; the next server goes on with them. */
    async stop(): Promise<void> {
      stopping.abort()
      await Promise.allSettled(underWay.values())
    },

    /** Goes on with erasures that are at least `age` milliseconds old and not over; says how many. */
    async resume(age: number): Promise<number> {
      const left = await findErasures(database, clock() - age)
      for (const erasure of left) await finish(erasure)
      return left.length
    },
  }
}

function stopped(): AppError {
  return new AppError('unavailable', 'the server is stopping; the erasure goes on when it starts again')
}

/** Goes on with what a server has left unfinished: at once, and then from time to time. */
export function lookAfterErasures(deps: {
  erasures: Pick<EraseService, 'resume' | 'stop'>
  log: { info(fields: object, message: string): void; warn(fields: object, message: string): void }
}): Repeated {
  const { erasures, log } = deps
  const resume = async (age: number) => {
    const resumed = await erasures.resume(age)
    if (resumed > 0) log.info({ resumed }, 'finished erasures that were left')
  }
  const warn = (error: unknown) => log.warn({ err: error }, 'an erasure could not be finished; it will be tried again')
  const first = resume(0).catch(warn)
  const later = repeat(() => resume(RESUME_MS), RESUME_MS, warn)
  return {
    async stop() {
      await Promise.all([erasures.stop(), first, later.stop()])
    },
  }
}

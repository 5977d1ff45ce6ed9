import { AppError } from '../../errors.ts'
import type { Clock } from '../../lib/clock.ts'
import type { IdSource } from '../../lib/ids.ts'
import { type Repeated, repeat } from '../../lib/repeat.ts'
import type { Database } from '../../storage/database.ts'
import type { TurnService } from '../turns/turn-service.ts'
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

/** Takes away what a feature keeps of conversations outside the database. May be called again for the same ones. */
export type Eraser = (organizationId: string, conversationIds: readonly string[]) => Promise<void>
export type EraseService = ReturnType<typeof createEraseService>

/** Milliseconds between looks for erasures that were left unfinished, and the age from which one is taken for that. */
const RESUME_MS = 60_000

/**
 * Erases for good: rows, and what they had left in the database's files. A marker is stored first, so that an erasure
 * goes on after a crash; every step may be done again.
 */
export function createEraseService(deps: {
  database: Database
  ids: IdSource
  clock: Clock
  turns: Pick<TurnService, 'stopAll'>
  /** Called before the rows of the conversations go, because they may say where the rest is. */
  erasers: readonly Eraser[]
}) {
  const { database, ids, clock, turns, erasers } = deps
  const underWay = new Map<string, Promise<void>>()
  let isStopping = false
  const scrub = oneForAll(() => database.scrub(ERASED_TABLES))

  async function eraseRows(organizationId: string, target: Target): Promise<void> {
    for (;;) {
      if (isStopping)
        throw new AppError('unavailable', 'the server is stopping; the erasure goes on when it starts again')
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
      await eraseRows(organizationId, target)
      await database.write([forgetTarget(database, { organizationId, id })])
    }
    await scrub()
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
     * erased a moment ago has its rows gone, and not yet what is left in files.
     */
    async eraseUser(organizationId: string, externalUserId: string): Promise<void> {
      const target = { externalUserId }
      if ((await findToErase(database, organizationId, target)).length > 0) return erase(organizationId, target)
      for (const left of await findErasures(database, clock())) {
        if (left.organizationId === organizationId) await finish(left)
      }
    },

    /** The same for one conversation. Throws 404. */
    async eraseConversation(organizationId: string, conversationId: string): Promise<void> {
      const target = { conversationId }
      const found = await findToErase(database, organizationId, target)
      if (found.length === 0) throw new AppError('not_found', 'there is no such conversation')
      await erase(organizationId, target)
    },

    /** Ends erasures under way between two batches; the next server goes on with them. */
    async stop(): Promise<void> {
      isStopping = true
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

/** Goes on with what a server has left unfinished: at once, and then from time to time. */
export function keepErasures(deps: {
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

/** Runs `task` once for all who ask before it begins: what takes long is not done for each of them. */
function oneForAll(task: () => Promise<void>): () => Promise<void> {
  let current: Promise<void> = Promise.resolve()
  let next: Promise<void> | null = null
  return () => {
    next ??= current
      .catch(() => {})
      .then(() => {
        current = next ?? Promise.resolve()
        next = null
        return task()
      })
    return next
  }
}

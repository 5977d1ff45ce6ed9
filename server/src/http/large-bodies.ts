import type { FastifyInstance, FastifyRequest } from 'fastify'
import { AppError } from '../errors.ts'
import { QueueFullError } from '../lib/fairness/fair-queue.ts'
import type { MainThread } from '../lib/fairness/main-thread.ts'
import { hasHungUp } from './connections/unread-bodies.ts'

/**
 * A large body costs the main thread twice: it is read, checked, and what it says is begun; and the answer, which may be as
 * large, is written. Both take up to a tenth of a second for 1 MB of small values, and wait in one line. Without it,
 * those that have arrived would all be read in the same turn of the event loop, and those that were stored in one commit
 * would all be answered in another.
 */
export function createLineOfLargeBodies(app: FastifyInstance, mainThread: MainThread) {
  const leaving = new WeakMap<FastifyRequest, () => void>()
  const large = new WeakSet<FastifyRequest>()

  function leave(request: FastifyRequest): void {
    leaving.get(request)?.()
    leaving.delete(request)
  }

  /** Bodies and answers of a key take turns, so that the first does not wait for its answer until the last has been read. */
  async function waitInLine(request: FastifyRequest, what: 'body' | 'answer'): Promise<void> {
    const { organizationId = '', keyId = '' } = (request.caller as FastifyRequest['caller'] | null) ?? {}
    const end = await mainThread.enter([organizationId, keyId, what])
    leaving.set(request, end)
  }

  app.addHook('preHandler', (request, _reply, done) => {
    // The handler begins in this turn of the loop.
    if (leaving.has(request)) setImmediate(leave, request)
    done()
  })
  app.addHook('preSerialization', (request, _reply, payload, done) => {
    // One that is refused before its handler has its turn still.
    if (!large.has(request) || leaving.has(request)) return done(null, payload)
    waitInLine(request, 'answer').then(
      () => {
        setImmediate(leave, request)
        done(null, payload)
      },
      // It has been carried out: it is answered in any case.
      () => done(null, payload),
    )
  })
  // One that was refused has come to no handler.
  app.addHook('onResponse', (request, _reply, done) => {
    leave(request)
    done()
  })

  return {
    /** Resolves when a body may be read. Rejects when nobody waits for it any more, and with 503 when too many wait. */
    async enter(request: FastifyRequest): Promise<void> {
      large.add(request)
      await waitInLine(request, 'body').catch((error: unknown) => {
        if (!(error instanceof QueueFullError)) throw error
        throw new AppError('unavailable', 'too many large bodies wait to be read', { retryAfterMs: 1_000 })
      })
      if (!hasHungUp(request.raw)) return
      leave(request)
      throw new AppError('bad_request', 'the connection was closed')
    },
  }
}

import type { FastifyInstance, FastifyRequest } from 'fastify'
import { AppError } from '../../errors.ts'
import type { LastWords } from '../connections/last-words.ts'
import type { createWrongKeys } from '../limits/wrong-keys.ts'
import type { Authenticate, Caller } from './caller.ts'

/**
 * Asks every request for its key before anything of it is read. Routes that do not exist are guarded too, so that
 * nobody learns without a key what there is. `refuseWrong` makes the error for a key that nobody knows.
 */
export function guardWithKeys(
  app: FastifyInstance,
  authenticate: Authenticate,
  refuseWrong: ReturnType<typeof createWrongKeys>,
  lastWords: LastWords,
): void {
  app.decorateRequest('caller', null as unknown as Caller)

  // With callbacks, as all hooks that every request passes: the promises of eight of them cost as much as the routing.
  app.addHook('onRequest', (request, reply, done) => {
    if (request.routeOptions.config.isPublic) return done()
    const key = keyOf(request)
    if (typeof key !== 'string') return done(key)
    authenticate(key).then((caller) => {
      if (!caller) {
        const refusal = refuseWrong(request)
        // Who goes on guessing asks for a connection each time, and not for thousands of answers on one.
        if (refusal.refusedBy !== undefined) lastWords.hangUpBehind(request, reply)
        return done(refusal)
      }
      request.caller = caller
      done()
    }, done)
  })

  // Behind what counts requests, which is told of the caller: one that may not do this has asked all the same.
  app.addHook('preParsing', ({ caller, routeOptions }, _reply, payload, done) => {
    const { isPublic, scope } = routeOptions.config
    const isAllowed = isPublic || !scope || caller.scopes.has(scope)
    done(isAllowed ? null : new AppError('forbidden', `the API key lacks the scope ${scope}`), payload)
  })
}

/** The one key of a request. Two that differ are no key: who would it be that asks? */
function keyOf({ headers }: FastifyRequest): string | AppError {
  const own = headers['x-hl-api-key'] || undefined
  const bearer = /^Bearer +(\S+)$/i.exec(headers.authorization?.trim() ?? '')?.[1]
  const key = own ?? bearer
  if (typeof key !== 'string') {
    return new AppError('unauthorized', 'send your API key in the header x-hl-api-key, or as a Bearer token')
  }
  if (bearer !== undefined && bearer !== key) {
    return new AppError('unauthorized', 'the headers x-hl-api-key and authorization hold different keys')
  }
  return key
}

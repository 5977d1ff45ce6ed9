import type { FastifyInstance, FastifyRequest } from 'fastify'
import { AppError } from '../errors.ts'
import type { Authenticate, Caller } from './caller.ts'

/**
 * Asks every request for its key before anything of it is read. Routes that do not exist are guarded too, so that
 * nobody learns without a key what there is.
 */
export function guardWithKeys(app: FastifyInstance, authenticate: Authenticate): void {
  app.decorateRequest('caller', null as unknown as Caller)

  // With callbacks, as all hooks that every request passes: the promises of eight of them cost as much as the routing.
  app.addHook('onRequest', (request, _reply, done) => {
    if (request.routeOptions.config.isPublic) return done()
    const key = keyOf(request)
    if (!key) {
      return done(new AppError('unauthorized', 'send your API key in the header x-hl-api-key, or as a Bearer token'))
    }
    authenticate(key).then((caller) => {
      if (!caller) return done(new AppError('unauthorized', 'the API key is unknown, revoked or expired'))
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

function keyOf(request: FastifyRequest): string | undefined {
  const own = request.headers['x-hl-api-key']
  if (typeof own === 'string' && own !== '') return own
  const bearer = /^Bearer +(\S+) *$/i.exec(request.headers.authorization ?? '')
  return bearer?.[1]
}

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { parseExactly } from '../../lib/exact-json.ts'
import { isJsonObject, type JsonObject } from '../../lib/json.ts'
import { Type } from '../../lib/schema.ts'
import type { Rider, Riders } from '../../storage/riders.ts'
import { CLAIM_IS_TAKEN, type KnownClaim, once } from './claim.ts'
import type { IdempotencyService, IdentifiedRequest } from './idempotency-service.ts'
import { readKey } from './request-identity.ts'

/**
 * What makes a request known when it is sent again. `effect`: its answer, and the first batch it writes carries the
 * claim. `run`: the run that its handler begins, which does all that itself. `answer`: its answer alone, because doing it
 * again changes nothing.
 */
export type Kept = 'effect' | 'run' | 'answer'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** How a POST, PATCH or PUT with an `Idempotency-Key` is kept. */
    idempotency?: {
      /** A name that all routes share that are ways to do the same, or which the body says; else method and route are it. */
      operation?: string | ((body: unknown) => string)
      /** `effect` by default. */
      keeps?: Kept | ((body: unknown) => Kept)
      /** What of an answer may be kept and given again. */
      redact?: (answer: JsonObject) => JsonObject
      /** What of a kept answer may be shown to this caller, who need not be the one that was answered at first. */
      shownTo?: (request: FastifyRequest, answer: JsonObject) => object
      /** Answers what is too long to be kept: as it is now. A text that comes in pieces is, see `http/answers/pieces.ts`. */
      again?: (request: FastifyRequest, reply: FastifyReply) => Promise<unknown>
    }
  }
  interface FastifyRequest {
    /** Set for a request with an `Idempotency-Key`, before its handler runs. */
    keyed: IdentifiedRequest | null
    /** It was sent before, and gets what it got then: no limit counts it. */
    isReplay: boolean
  }
}

const METHODS: ReadonlySet<string> = new Set(['POST', 'PATCH', 'PUT'])
/** Of the headers of an answer; the others belong to the one request or its connection. */
const KEPT_HEADERS = /^(content-type|warning|location|x-dramatis-.*)$/

/** For the document: the key itself is looked at when there is one. */
const HEADERS = Type.Object({
  'Idempotency-Key': Type.Optional(
    Type.String({ description: 'Of your choice: a request that is sent again with it is carried out once.' }),
  ),
})

/** Says that an answer is one that was given before. */
export const REPLAYED = 'x-dramatis-replayed'

/**
 * Makes POST, PATCH and PUT with an `Idempotency-Key` happen once. For the routes that are registered after it; call it
 * before what counts requests, which then can leave out those that were sent before.
 */
export function answerOnce(
  app: FastifyInstance,
  deps: {
    idempotency: IdempotencyService
    ride: Riders['ride']
    /** What may still be shown of an answer about a conversation. Throws 404 and 410. */
    showAgain: (organizationId: string, conversationId: string, body: string) => Promise<string>
  },
): void {
  const { idempotency, ride, showAgain } = deps
  const riders = new WeakMap<FastifyRequest, Rider>()
  app.decorateRequest('keyed', null)
  app.decorateRequest('isReplay', false)

  // With a callback, because a request without the header shall not pay for a promise.
  app.addHook('preHandler', (request, _reply, done) => {
    const header = request.headers['idempotency-key']
    if (header === undefined || !METHODS.has(request.method) || request.is404 || !request.caller) return done()
    recognize(request, header).then(() => done(), done)
  })

  app.addHook('onRoute', (route) => {
    if (![route.method].flat().some((method) => METHODS.has(method))) return
    const handle = route.handler
    route.handler = function (request, reply) {
      if (request.keyed === null || keptOf(request) === 'run') return handle.call(this, request, reply)
      return perform(request, reply, request.keyed, async () => handle.call(this, request, reply))
    }
    route.onSend = [...[route.onSend ?? []].flat(), keepAnswer]
    route.schema = { headers: HEADERS, ...route.schema }
  })

  async function recognize(request: FastifyRequest, header: string | string[]): Promise<void> {
    const parameters = (request.params ?? {}) as Record<string, unknown>
    const { url = '' } = request.routeOptions
    const conversationId = parameters['conversationId']
    request.keyed = await idempotency.recognize({
      organizationId: request.caller.organizationId,
      keyId: request.caller.keyId,
      key: readKey(header),
      act: { method: request.method, route: url, operation: operationOf(request), parameters },
      body: request.body,
      conversationId: typeof conversationId === 'string' ? conversationId.toLowerCase() : null,
    })
    request.isReplay = request.keyed.known !== null
  }

  async function perform(
    request: FastifyRequest,
    reply: FastifyReply,
    keyed: IdentifiedRequest,
    handle: () => Promise<unknown>,
  ): Promise<unknown> {
    const rider = { statement: () => idempotency.claim(keyed), constraint: CLAIM_IS_TAKEN, isAboard: false }
    riders.set(request, rider)
    const start = keptOf(request) === 'effect' ? () => ride(rider, handle) : handle
    return once(
      keyed,
      start,
      (known) => replay(request, reply, keyed, known),
      () => rider.isAboard,
    )
  }

  async function replay(
    request: FastifyRequest,
    reply: FastifyReply,
    keyed: IdentifiedRequest,
    known: KnownClaim,
  ): Promise<unknown> {
    request.isReplay = true
    const { status, headers, body } = await idempotency.answerOf(keyed, known)
    const { again } = request.routeOptions.config.idempotency ?? {}
    if (again && status === 200 && body === null) return again(request, reply.headers(headers).header(REPLAYED, 'true'))
    const { conversationId, organizationId } = { ...keyed, ...known, organizationId: keyed.organizationId }
    const shown =
      conversationId === null || body === null ? body : await showAgain(organizationId, conversationId, body)
    const answer = shown === null ? null : changed(shown, request.routeOptions.config.idempotency?.shownTo, request)
    return reply.code(status).headers(headers).header(REPLAYED, 'true').send(answer)
  }

  function keepAnswer(
    request: FastifyRequest,
    reply: FastifyReply,
    payload: unknown,
    done: (error: null, payload: unknown) => void,
  ): void {
    const { keyed } = request
    const rider = keyed && riders.get(request)
    if (!keyed || !rider || request.isReplay) {
      done(null, payload)
      return
    }
    finish(request, reply, keyed, rider, payload).then(
      () => done(null, payload),
      (error: unknown) => {
        // What was asked for is done, and the caller hears so; one who asks again hears that the answer is lost.
        request.log.warn({ err: error }, 'the answer of a request with an idempotency key could not be kept')
        done(null, payload)
      },
    )
  }

  async function finish(
    request: FastifyRequest,
    reply: FastifyReply,
    keyed: IdentifiedRequest,
    rider: Rider,
    payload: unknown,
  ): Promise<void> {
    if (reply.statusCode >= 400) {
      if (rider.isAboard) await idempotency.release(keyed)
      return
    }
    const body = typeof payload === 'string' ? redacted(request, payload) : null
    const answer = { status: reply.statusCode, headers: keptHeaders(reply), body }
    if (rider.isAboard) await idempotency.keep(keyed, answer)
    else await idempotency.claimAnswered(keyed, answer)
  }
}

function operationOf(request: FastifyRequest): string | undefined {
  const operation = request.routeOptions.config.idempotency?.operation
  return typeof operation === 'function' ? operation(request.body) : operation
}

function keptOf(request: FastifyRequest): Kept {
  const keeps = request.routeOptions.config.idempotency?.keeps ?? 'effect'
  return typeof keeps === 'function' ? keeps(request.body) : keeps
}

function redacted(request: FastifyRequest, body: string): string {
  const redact = request.routeOptions.config.idempotency?.redact
  return changed(body, redact && ((_request, answer) => redact(answer)), request)
}

/** A JSON text as `change` makes it. */
function changed(
  body: string,
  change: ((request: FastifyRequest, answer: JsonObject) => object) | undefined,
  request: FastifyRequest,
): string {
  if (!change) return body
  const answer: unknown = parseExactly(body)
  return isJsonObject(answer) ? JSON.stringify(change(request, answer)) : body
}

function keptHeaders(reply: FastifyReply): Record<string, string> {
  const headers = Object.entries(reply.getHeaders()).filter(([name]) => KEPT_HEADERS.test(name))
  return Object.fromEntries(headers.map(([name, value]) => [name, String(value)]))
}

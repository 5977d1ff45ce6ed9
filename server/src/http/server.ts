import type { IncomingMessage, ServerResponse } from 'node:http'
import type { SecureServerOptions } from 'node:http2'
import type { Server, Socket } from 'node:net'
import Fastify, {
  type FastifyBaseLogger,
  type FastifyInstance,
  type FastifyReply,
  type FastifyServerOptions,
  LogController,
} from 'fastify'
import { AppError } from '../errors.ts'
import type { MainThread } from '../lib/fairness/main-thread.ts'
import { setSafeHeaders } from './answers/safe-headers.ts'
import type { ClientOf } from './connections/client-address.ts'
import { createPipelineLimit, findAmbiguity, MOST_PIPELINED, pathOf } from './connections/framing.ts'
import { createLastWords, type LastWords } from './connections/last-words.ts'
import type { Patience } from './connections/patience.ts'
import { watchBodies } from './connections/slow-bodies.ts'
import { hasBody, leaveBody } from './connections/unread-bodies.ts'
import { answerUnreadable } from './connections/unreadable.ts'
import { answerErrors, sendError } from './errors.ts'
import { createWrongKeys } from './limits/wrong-keys.ts'
import { createSchemaCompilers } from './openapi/schema-compilers.ts'
import { guardWithKeys } from './requests/auth.ts'
import { readBodies } from './requests/bodies.ts'
import type { Authenticate } from './requests/caller.ts'
import { refuseUnreadableText } from './requests/url-text.ts'

export type HttpOptions = {
  log: FastifyBaseLogger
  authenticate: Authenticate
  /** Makes the id of a request; it is shown in `x-request-id` and in the log. */
  nextRequestId: () => string
  /** Largest body, in bytes. */
  bodyLimit: number
  corsOrigins: readonly string[]
  tls: { cert: Buffer; key: Buffer } | null
  patience: Patience
  clientOf: ClientOf
  mainThread: MainThread
  /** Of one address; 0 for no limit. */
  wrongKeysPerMinute: number
}

declare module 'fastify' {
  interface FastifyInstance {
    /** Only a server that is made here has it. */
    patience?: Patience
  }
}

const MAX_PARAMETER_LENGTH = 2_048
/** What one connection of HTTP/2 may ask the server to hold: 250 streams at a time, and 16 KiB of headers for each. */
const HTTP2_LIMITS: SecureServerOptions = {
  maxSessionInvalidFrames: 100,
  maxSessionRejectedStreams: 100,
  settings: { maxConcurrentStreams: 250, maxHeaderListSize: 16_384 },
}
/** Whatever they bring is not read. */
const WITHOUT_BODY: ReadonlySet<string> = new Set(['GET', 'HEAD'])
/** What a caller may call a request, so that both sides find it in their logs. */
const REQUEST_ID = /^[\x20-\x7e]{1,128}$/

/**
 * An HTTP server with everything that is the same for all routes: keys, bodies, validation, errors, request ids, CORS,
 * the log line of each request. With `tls` it speaks HTTP/2 and HTTP/1.1 by ALPN.
 */
export async function createHttpServer(options: HttpOptions): Promise<FastifyInstance> {
  const app: FastifyInstance = Fastify(serverOptions(options))

  app.decorate('patience', options.patience)
  const lastWords = createLastWords()
  takeRequests(app, lastWords)
  if (options.corsOrigins.length > 0) {
    const { default: cors } = await import('@fastify/cors')
    await app.register(cors, {
      origin: [...options.corsOrigins],
      methods: ['GET', 'POST', 'PATCH', 'PUT', 'DELETE'],
      exposedHeaders: EXPOSED_HEADERS,
      maxAge: 600,
    })
  }
  answerErrors(app)
  const { clientOf } = options
  guardWithKeys(
    app,
    options.authenticate,
    createWrongKeys({ clientOf, perMinute: options.wrongKeysPerMinute, now: () => performance.now() }),
    lastWords,
  )
  giveUpSlowBodies(app, options.patience)
  refuseUnreadableText(app)
  readBodies(app, options.mainThread)
  endRequests(app, clientOf, options.patience)
  return app
}

const EXPOSED_HEADERS = [
  'content-disposition',
  'x-request-id',
  'x-dramatis-run-id',
  'x-dramatis-unresolved-variables',
  'x-dramatis-replayed',
  'retry-after',
  'ratelimit-limit',
  'ratelimit-remaining',
  'ratelimit-reset',
  'warning',
]

function serverOptions(options: HttpOptions): FastifyServerOptions {
  const { patience } = options
  const heads = {
    headersTimeout: patience.headMs,
    connectionsCheckingInterval: patience.lookEveryMs,
    // Answered here, in the shape of all errors.
    requireHostHeader: false,
    // Not even when the command line of Node.js asks for it.
    insecureHTTPParser: false,
    keepAliveTimeout: patience.idleMs,
  }
  const shared = {
    loggerInstance: options.log,
    logController: new LogController({ disableRequestLogging: true, requestIdLogLabel: 'requestId' }),
    bodyLimit: options.bodyLimit,
    genReqId: ({ headers }: IncomingMessage) => {
      const given = headers['x-request-id']
      return typeof given === 'string' && REQUEST_ID.test(given) ? given : options.nextRequestId()
    },
    rewriteUrl: (request: { url?: string }) => canonicalUrl(pathOf(request.url ?? '/')),
    schemaController: { compilersFactory: createSchemaCompilers() },
    // Streams are ended by their own rules; only idle connections may be cut when the server closes.
    forceCloseConnections: 'idle' as const,
    keepAliveTimeout: patience.idleMs,
    // It is met by a session whose stream waits for the server, and not by one that pings: see `stalled-readers.ts`.
    http2SessionTimeout: 0,
    // Its answer would have a shape of its own; `takeRequests` gives ours.
    return503OnClosing: false,
    routerOptions: { maxParamLength: MAX_PARAMETER_LENGTH, ignoreTrailingSlash: true },
    frameworkErrors: sendError as unknown as NonNullable<FastifyServerOptions['frameworkErrors']>,
    clientErrorHandler: (error: Error & { code?: string }, socket: Socket) => answerUnreadable(error, socket, options),
  }
  if (!options.tls) return { ...shared, http: heads } as FastifyServerOptions
  const https = {
    ...options.tls,
    ...heads,
    allowHTTP1: true,
    handshakeTimeout: patience.handshakeMs,
    ...HTTP2_LIMITS,
  }
  return { ...shared, http2: true, https } as unknown as FastifyServerOptions
}

/** The conversations of an app, which is not known here: they are those of the organization. */
const OF_AN_APP = /^\/apps\/[\w~-][\w.~-]{0,127}(?=\/(?:persona-)?conversations(?:[/?]|$))/

/**
 * Every path also answers under `/api` and `/app`, and `/persona-conversations` and `/apps/{id}/conversations` are other
 * names of `/conversations`.
 */
export function canonicalUrl(url: string): string {
  return url
    .replace(/^\/(api|app)(?=\/)/, '')
    .replace(OF_AN_APP, '')
    .replace(/^\/persona-conversations(?=[/?]|$)/, '/conversations')
}

/** What every request passes first: it gets its headers, and is refused if it cannot be served at all. */
function takeRequests(app: FastifyInstance, lastWords: LastWords): void {
  const isPipelinedTooFar = createPipelineLimit()
  let isStopping = false
  app.addHook('preClose', (done) => {
    isStopping = true
    done()
  })

  app.addHook('onRequest', (request, reply, done) => {
    // It came behind one after which the connection was closed; nobody would read what it is answered.
    if (lastWords.isBehind(request)) return abandon(reply)
    reply.header('x-request-id', request.id)
    setSafeHeaders(reply)
    if (isStopping) return done(new AppError('unavailable', 'the server is stopping', { refusedBy: 'stopping' }))
    const ambiguity = findAmbiguity(request)
    if (ambiguity) return done(ambiguity)
    if (isPipelinedTooFar(request, reply)) return done(tooManyPipelined())
    done()
  })

  // Who waits to be told to send a body is told when it is clear that it is read; other expectations are none of ours.
  const server: Server = app.server
  const handOver = (request: IncomingMessage, response: ServerResponse) => server.emit('request', request, response)
  server.on('checkContinue', handOver)
  server.on('checkExpectation', handOver)
}

function abandon(reply: FastifyReply): void {
  reply.hijack()
  reply.raw.destroy()
}

function tooManyPipelined(): AppError {
  return new AppError('rate_limited', 'too many requests wait on this connection', {
    refusedBy: 'pipelined_requests',
    quota: { limit: MOST_PIPELINED, remaining: 0, resetMs: 1_000 },
    retryAfterMs: 1_000,
  })
}

/** A body that comes a byte now and then would hold its connection, and what waits for it, for ever. */
function giveUpSlowBodies(app: FastifyInstance, patience: Patience): void {
  const bodies = watchBodies(patience)
  app.addHook('preParsing', (request, reply, payload, done) => {
    if (WITHOUT_BODY.has(request.method)) return done(null, payload)
    const refusal = hasBody(request.raw) ? bodies.began(request, reply) : null
    if (refusal) return done(refusal)
    if (request.headers.expect !== undefined && !reply.raw.headersSent) reply.raw.writeContinue()
    done(null, payload)
  })
  app.addHook('preValidation', (request, _reply, done) => {
    bodies.arrived(request)
    done()
  })
  app.addHook('onClose', (_instance, done) => {
    bodies.stop()
    done()
  })
}

/** One line a request. Never a body, a query string or a key: those hold what people said, and secrets. */
function endRequests(app: FastifyInstance, clientOf: ClientOf, { lingerMs }: Patience): void {
  app.addHook('onResponse', (request, reply, done) => {
    leaveBody(request, lingerMs)
    request.log.info(
      {
        method: request.method,
        route: request.routeOptions.url ?? null,
        status: reply.statusCode,
        client: clientOf(request),
        latencyMs: Math.round(reply.elapsedTime * 100) / 100,
        key: (request.caller as { keyPrefix: string } | null)?.keyPrefix ?? null,
        ...(request.refusedBy && { refusedBy: request.refusedBy }),
      },
      'request',
    )
    done()
  })
}

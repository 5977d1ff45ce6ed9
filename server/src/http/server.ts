import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import Fastify, {
  type FastifyBaseLogger,
  type FastifyInstance,
  type FastifyServerOptions,
  LogController,
} from 'fastify'
import { AppError } from '../errors.ts'
import { guardWithKeys } from './auth.ts'
import { readBodies } from './bodies.ts'
import type { Authenticate } from './caller.ts'
import type { ClientOf } from './connections/client-address.ts'
import { createPipelineLimit, findAmbiguity, pathOf } from './connections/framing.ts'
import type { Patience } from './connections/patience.ts'
import { watchBodies } from './connections/slow-bodies.ts'
import { closeGently } from './connections/unread-bodies.ts'
import { answerErrors, sendError } from './errors.ts'
import { SAFE_HEADERS, setSafeHeaders } from './safe-headers.ts'
import { createSchemaCompilers } from './schema-compilers.ts'
import { refuseUnreadableText } from './url-text.ts'
import { createWrongKeys } from './wrong-keys.ts'

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
/** Streams of one HTTP/2 connection at a time. */
const MOST_STREAMS = 250
/** What a caller may call a request, so that both sides find it in their logs. */
const REQUEST_ID = /^[\x20-\x7e]{1,128}$/

/**
 * An HTTP server with everything that is the same for all routes: keys, bodies, validation, errors, request ids, CORS,
 * the log line of each request. With `tls` it speaks HTTP/2 and HTTP/1.1 by ALPN.
 */
export async function createHttpServer(options: HttpOptions): Promise<FastifyInstance> {
  const app: FastifyInstance = Fastify(serverOptions(options))

  app.decorate('patience', options.patience)
  const isPipelinedTooFar = createPipelineLimit()
  app.addHook('onRequest', (request, reply, done) => {
    reply.header('x-request-id', request.id)
    setSafeHeaders(reply)
    const ambiguity = findAmbiguity(request)
    if (ambiguity) return done(ambiguity)
    if (!isPipelinedTooFar(request, reply)) return done()
    done(new AppError('rate_limited', 'too many requests wait on this connection', { refusedBy: 'pipelined_requests' }))
  })
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
  )
  giveUpSlowBodies(app, options.patience)
  refuseUnreadableText(app)
  readBodies(app)
  logRequests(app, clientOf)
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
    http2SessionTimeout: patience.idleMs,
    routerOptions: { maxParamLength: MAX_PARAMETER_LENGTH, ignoreTrailingSlash: true },
    frameworkErrors: sendError as unknown as NonNullable<FastifyServerOptions['frameworkErrors']>,
    clientErrorHandler: (error: Error & { code?: string }, socket: Socket) =>
      answerUnreadableRequest(error, socket, options),
  }
  if (!options.tls) return { ...shared, http: heads } as FastifyServerOptions
  const https = {
    ...options.tls,
    ...heads,
    allowHTTP1: true,
    handshakeTimeout: patience.handshakeMs,
    settings: { maxConcurrentStreams: MOST_STREAMS },
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

/** What does not even parse as HTTP gets the contract's error body too. */
function answerUnreadableRequest(error: Error & { code?: string }, socket: Socket, options: HttpOptions): void {
  if (error.code === 'ECONNRESET' || socket.destroyed || !socket.writable) return
  const message = MEANING_OF_CODE[error.code ?? ''] ?? 'this is not a valid HTTP request'
  const body = JSON.stringify({ error: { code: 'bad_request', message, details: [] } })
  const requestId = options.nextRequestId()
  options.log.info({ requestId, reason: error.code ?? null }, 'unreadable request')
  const head = [
    'HTTP/1.1 400 Bad Request',
    'content-type: application/json; charset=utf-8',
    `content-length: ${Buffer.byteLength(body)}`,
    `x-request-id: ${requestId}`,
    ...Object.entries(SAFE_HEADERS).map(([name, value]) => `${name}: ${value}`),
    'connection: close',
  ]
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`)
  closeGently(socket, options.patience.lingerMs)
}

const MEANING_OF_CODE: Readonly<Record<string, string>> = {
  HPE_HEADER_OVERFLOW: 'the headers are too large',
  ERR_HTTP_REQUEST_TIMEOUT: 'the head of the request came too slowly',
}

/** A body that comes a byte now and then would hold its connection, and what waits for it, for ever. */
function giveUpSlowBodies(app: FastifyInstance, patience: Patience): void {
  const bodies = watchBodies(patience)
  app.addHook('preParsing', (request, reply, payload, done) => {
    if (!request.raw.complete) bodies.began(request, reply)
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
function logRequests(app: FastifyInstance, clientOf: ClientOf): void {
  app.addHook('onResponse', (request, reply, done) => {
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

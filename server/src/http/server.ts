import type { Socket } from 'node:net'
import Fastify, {
  type FastifyBaseLogger,
  type FastifyInstance,
  type FastifyServerOptions,
  LogController,
} from 'fastify'
import { guardWithKeys } from './auth.ts'
import { readBodies } from './bodies.ts'
import type { Authenticate } from './caller.ts'
import { answerErrors, sendError } from './errors.ts'
import { createSchemaCompilers } from './schema-compilers.ts'
import { refuseUnreadableText } from './url-text.ts'

export type HttpOptions = {
  log: FastifyBaseLogger
  authenticate: Authenticate
  /** Makes the id of a request; it is shown in `x-request-id` and in the log. */
  nextRequestId: () => string
  /** Largest body, in bytes. */
  bodyLimit: number
  corsOrigins: readonly string[]
  tls: { cert: Buffer; key: Buffer } | null
}

const MAX_PARAMETER_LENGTH = 2_048

/**
 * An HTTP server with everything that is the same for all routes: keys, bodies, validation, errors, request ids, CORS,
 * the log line of each request. With `tls` it speaks HTTP/2 and HTTP/1.1 by ALPN.
 */
export async function createHttpServer(options: HttpOptions): Promise<FastifyInstance> {
  const app: FastifyInstance = Fastify(serverOptions(options))

  app.addHook('onRequest', (request, reply, done) => {
    reply.header('x-request-id', request.id)
    done()
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
  guardWithKeys(app, options.authenticate)
  refuseUnreadableText(app)
  readBodies(app)
  logRequests(app)
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
  const shared = {
    loggerInstance: options.log,
    logController: new LogController({ disableRequestLogging: true, requestIdLogLabel: 'requestId' }),
    bodyLimit: options.bodyLimit,
    genReqId: options.nextRequestId,
    rewriteUrl: (request: { url?: string }) => canonicalUrl(request.url ?? '/'),
    schemaController: { compilersFactory: createSchemaCompilers() },
    // Streams are ended by their own rules; only idle connections may be cut when the server closes.
    forceCloseConnections: 'idle' as const,
    routerOptions: { maxParamLength: MAX_PARAMETER_LENGTH, ignoreTrailingSlash: true },
    frameworkErrors: sendError as unknown as NonNullable<FastifyServerOptions['frameworkErrors']>,
    clientErrorHandler: (error: Error & { code?: string }, socket: Socket) =>
      answerUnreadableRequest(error, socket, options),
  }
  if (!options.tls) return shared as FastifyServerOptions
  return { ...shared, http2: true, https: { ...options.tls, allowHTTP1: true } } as unknown as FastifyServerOptions
}

/** Every path also answers under `/api` and `/app`, and `/persona-conversations` is another name of `/conversations`. */
export function canonicalUrl(url: string): string {
  return url.replace(/^\/(api|app)(?=\/)/, '').replace(/^\/persona-conversations(?=[/?]|$)/, '/conversations')
}

/** What does not even parse as HTTP gets the contract's error body too. */
function answerUnreadableRequest(error: Error & { code?: string }, socket: Socket, options: HttpOptions): void {
  if (error.code === 'ECONNRESET' || socket.destroyed || !socket.writable) return
  const isTooLarge = error.code === 'HPE_HEADER_OVERFLOW'
  const message = isTooLarge ? 'the headers are too large' : 'this is not a valid HTTP request'
  const body = JSON.stringify({ error: { code: 'bad_request', message, details: [] } })
  const requestId = options.nextRequestId()
  options.log.info({ requestId, reason: error.code ?? null }, 'unreadable request')
  const head = [
    'HTTP/1.1 400 Bad Request',
    'content-type: application/json; charset=utf-8',
    `content-length: ${Buffer.byteLength(body)}`,
    `x-request-id: ${requestId}`,
    'connection: close',
  ]
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`)
}

/** One line a request. Never a body, a query string or a key: those hold what people said, and secrets. */
function logRequests(app: FastifyInstance): void {
  app.addHook('onResponse', (request, reply, done) => {
    request.log.info(
      {
        method: request.method,
        route: request.routeOptions.url ?? null,
        status: reply.statusCode,
        latencyMs: Math.round(reply.elapsedTime * 100) / 100,
        key: (request.caller as { keyPrefix: string } | null)?.keyPrefix ?? null,
        ...(request.refusedBy && { refusedBy: request.refusedBy }),
      },
      'request',
    )
    done()
  })
}

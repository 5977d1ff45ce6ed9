import { printableLine } from './lib/text/printable.ts'

/**
 * The one table of what can go wrong towards a caller: a stable code and the HTTP status it has.
 * Domain code throws {@link AppError}; only the HTTP error handler turns it into bytes.
 */
export const STATUS_OF_CODE = {
  bad_request: 400,
  unauthorized: 401,
  forbidden: 403,
  not_found: 404,
  conflict: 409,
  gone: 410,
  payload_too_large: 413,
  unsupported_media_type: 415,
  unprocessable_entity: 422,
  rate_limited: 429,
  cancelled: 499,
  internal_error: 500,
  provider_error: 502,
  unavailable: 503,
  provider_timeout: 504,
} as const

export type ErrorCode = keyof typeof STATUS_OF_CODE

/** One field of a request and what is wrong with it; `field` is a path such as `personaConfiguration.temperature`. */
export type ErrorDetail = { field: string; issue: string }

/** What a limit allows, what is left of it, and in how many milliseconds all of it is there again. */
export type Quota = { limit: number; remaining: number; resetMs: number }

export type AppErrorOptions = {
  details?: ErrorDetail[]
  /** Shown to the caller, so that a failed turn can be found again. */
  conversationId?: string
  runId?: string
  /** Milliseconds after which trying again makes sense; becomes `Retry-After`. */
  retryAfterMs?: number
  /** The limit that refused the request, as it stands in the metrics. */
  refusedBy?: string
  /** How that limit stands; becomes the `RateLimit-*` headers. */
  quota?: Quota
  /** Kept for the log, never shown. */
  cause?: unknown
}

/** An error that a caller is meant to see. The message must never hold a secret, a prompt or a message's text. */
export class AppError extends Error {
  readonly code: ErrorCode
  readonly details: ErrorDetail[]
  readonly conversationId: string | undefined
  readonly runId: string | undefined
  readonly retryAfterMs: number | undefined
  readonly refusedBy: string | undefined
  readonly quota: Quota | undefined

  constructor(code: ErrorCode, message: string, options: AppErrorOptions = {}) {
    // Words of others may stand in it, which end in terminals and tables.
    super(printableLine(message), options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'AppError'
    this.code = code
    this.details = (options.details ?? []).map(({ field, issue }) => ({
      field: printableLine(field),
      issue: printableLine(issue),
    }))
    this.conversationId = options.conversationId
    this.runId = options.runId
    this.retryAfterMs = options.retryAfterMs
    this.refusedBy = options.refusedBy
    this.quota = options.quota
  }

  /** The HTTP status that belongs to the code. */
  get status(): number {
    return STATUS_OF_CODE[this.code]
  }
}

/** An error of a mechanism that knows what a caller may see of it. */
export type Presentable = { toAppError(): AppError }

export function isPresentable(error: unknown): error is Presentable {
  return typeof (error as Partial<Presentable> | null)?.toAppError === 'function'
}

/** A 400 that names one field. */
export function badField(field: string, issue: string): AppError {
  return new AppError('bad_request', `${field} ${issue}`, { details: [{ field, issue }] })
}

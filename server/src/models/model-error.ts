import { AppError, type ErrorCode } from '../errors.ts'
import { printableLine } from '../lib/text/printable.ts'
import type { Refusal } from './refusals/refusal.ts'

/**
 * How a call of a model can end badly.
 * - `not_configured`: a variable is missing, or the part is not built; no request was made.
 * - `unavailable`: the provider failed so often just now that it was not asked (see `calling/breaker.ts`); no request was made.
 * - `refused`: the provider does not know the model or refuses the request as such; trying again is pointless.
 * - `rate_limited`: the provider said 429 (or is shedding load with 529).
 * - `timeout`: a phase took too long.
 * - `failed`: everything else the provider or the network did, a stream without a finish reason included.
 * - `unaffordable`: the one who pays has not enough left; no request was made.
 * - `aborted`: we closed the connection ourselves.
 */
export type ModelErrorKind =
  | 'not_configured'
  | 'unavailable'
  | 'refused'
  | 'rate_limited'
  | 'timeout'
  | 'failed'
  | 'unaffordable'
  | 'aborted'

export type ModelErrorOptions = {
  aiSystem: string
  /** The provider's HTTP status, if it came that far. */
  status?: number
  /** Whether the same request may succeed a little later. By default: rate_limited, failed and timeout. */
  retryable?: boolean
  /** Milliseconds, from the provider's Retry-After. */
  retryAfterMs?: number
  /** Says that the provider itself is ill; false by default. */
  isOutage?: boolean
  /** The connection could not be made: nothing of the request has left. */
  isUnsent?: boolean
  /** What of the request was refused, if it was that. */
  refusal?: Refusal | null
  cause?: unknown
}

const CODE_OF_KIND: Record<ModelErrorKind, ErrorCode> = {
  not_configured: 'unavailable',
  unavailable: 'unavailable',
  refused: 'unprocessable_entity',
  rate_limited: 'unavailable',
  timeout: 'provider_timeout',
  failed: 'provider_error',
  unaffordable: 'rate_limited',
  aborted: 'cancelled',
}

/** A failed call. The message names the provider and what it said, and is free of secrets: it is shown to callers. */
export class ModelError extends Error {
  readonly kind: ModelErrorKind
  readonly aiSystem: string
  readonly status: number | undefined
  readonly retryable: boolean
  readonly retryAfterMs: number | undefined
  /** It is the provider that is ill, and not this request, its model or its key: what the breaker counts. */
  readonly isOutage: boolean
  readonly isUnsent: boolean
  readonly refusal: Refusal | undefined

  constructor(kind: ModelErrorKind, message: string, options: ModelErrorOptions) {
    super(printableLine(message), options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'ModelError'
    this.kind = kind
    this.aiSystem = options.aiSystem
    this.status = options.status
    this.retryable = options.retryable ?? (kind === 'rate_limited' || kind === 'failed' || kind === 'timeout')
    this.retryAfterMs = options.retryAfterMs
    this.isOutage = options.isOutage ?? false
    this.isUnsent = options.isUnsent ?? false
    this.refusal = options.refusal ?? undefined
  }

  /** Whether the provider may count the prompt although the call came to nothing: it had it, and did not refuse it. */
  get mayHaveCost(): boolean {
    if (this.kind === 'timeout' || this.kind === 'aborted') return true
    return this.kind === 'failed' && this.status === undefined && !this.isUnsent
  }

  /** The same failure, told in other words and with another cause. */
  inOtherWords(message: string, cause: unknown): ModelError {
    return new ModelError(this.kind, message, {
      aiSystem: this.aiSystem,
      retryable: this.retryable,
      isOutage: this.isOutage,
      isUnsent: this.isUnsent,
      ...(this.status === undefined ? {} : { status: this.status }),
      ...(this.refusal === undefined ? {} : { refusal: this.refusal }),
      ...(this.retryAfterMs === undefined ? {} : { retryAfterMs: this.retryAfterMs }),
      cause,
    })
  }

  /** What a caller of ours gets to see of it. */
  toAppError(): AppError {
    if (this.cause instanceof AppError) return this.cause
    return new AppError(CODE_OF_KIND[this.kind], this.message, {
      cause: this,
      ...(this.retryAfterMs === undefined ? {} : { retryAfterMs: this.retryAfterMs }),
    })
  }
}

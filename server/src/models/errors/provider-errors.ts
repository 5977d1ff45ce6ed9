import { isJsonObject } from '../../lib/json.ts'
import { printableLine } from '../../lib/text/printable.ts'
import type { AiSystem } from '../ai-systems.ts'
import { ModelError, type ModelErrorKind } from '../model-error.ts'
import { readRefusal, readRefusalInStream } from '../refusals/refusals.ts'
import type { Redact } from './redact.ts'
import { isWebPage, type ProviderAddress, whyAPage, whyMissing } from './wrong-address.ts'

/** UTF-16 units of what a provider said that are looked at, and that are passed on. */
const MAX_READ = 8_192
const MAX_SAID = 300

/** Whose error it is, how to take the secrets out of it, and how its address may be wrong. */
export type ErrorSource = { aiSystem: AiSystem; label: string; redact: Redact; address?: ProviderAddress | null }

/** A response that is no success. Header names are in lower case. */
export type ErrorResponse = {
  status: number
  headers: Readonly<Record<string, string | string[] | undefined>>
  body: string
  /** The HTTP client's own error, for the log. */
  cause?: unknown
}

/** Not a function of the service that is not there (501): a request for that fails on a healthy one too. */
const isIll = (status: number) => status >= 500 && status !== 501

type Verdict = { kind: ModelErrorKind; retryable: boolean; isKeyRefused?: true }

/**
 * The error for an HTTP status: 401, 403 failed (the key is wrong, trying again is pointless); 408 timeout; 429, 529
 * rate_limited with the wait the provider asked for; 5xx failed; every other 4xx refused. A web page failed too, with the
 * question whether the address is right, unless the provider or what is before it is ill.
 */
export function errorFromResponse(source: ErrorSource, response: ErrorResponse): ModelError {
  if (isFromElsewhere(response)) return errorFromPage(source, response.status, response.cause)
  const said = whatItSaid(response.body)
  const refusal =
    response.status === 400 && isKeyRefusal(400, said) ? null : readRefusal(response.status, response.body)
  const verdict = refusal === null ? judge(response.status, said, response.body) : REFUSED
  const answered = verdict.isKeyRefused
    ? `${source.label} refused the key (${response.status})`
    : `${source.label} answered ${response.status}`
  const retryAfterMs = readRetryAfter(response.headers, Date.now())
  const question = response.status === 404 ? whyMissing(source.address ?? null) : null
  return new ModelError(verdict.kind, asking(sentence(answered, said, source.redact), question), {
    aiSystem: source.aiSystem,
    status: response.status,
    retryable: verdict.retryable,
    isOutage: refusal === null && isIll(response.status),
    refusal,
    ...(retryAfterMs === null ? {} : { retryAfterMs }),
    cause: response.cause,
  })
}

/** What is refused for what it asks is not asked again as it is, whatever the status. */
const REFUSED: Verdict = { kind: 'refused', retryable: false }

/** The error for a web page in the place of an answer, or a redirect to one: a login, a proxy, or the wrong path. */
export function errorFromPage(source: ErrorSource, status: number, cause?: unknown): ModelError {
  const does = status >= 300 && status < 400 ? 'sends to another one' : 'answers with a web page'
  const what = `${source.label}: its address ${does} (${status})`
  return new ModelError('failed', asking(what, whyAPage(source.address ?? null)), {
    aiSystem: source.aiSystem,
    status,
    retryable: false,
    cause,
  })
}

/** The pages of gateways that are busy or broken mean what their status says, and a redirect is to a page. */
function isFromElsewhere({ status, body }: ErrorResponse): boolean {
  if (status >= 300 && status < 400) return true
  // One says so of a body that is too large for it.
  return status < 500 && status !== 408 && status !== 413 && status !== 429 && isWebPage(body)
}

function asking(sentence: string, question: string | null): string {
  return question === null ? sentence : `${sentence}; ${question}`
}

/** The error for a connection that could not be made or was cut; `received` says whether anything had come. */
export function errorFromNetwork(source: ErrorSource, cause: unknown, received: boolean): ModelError {
  const what = received ? 'broke the connection off' : 'did not answer'
  return new ModelError('failed', sentence(`${source.label} ${what}`, networkReason(cause), source.redact), {
    aiSystem: source.aiSystem,
    isOutage: true,
    isUnsent: !received && codesIn(cause).some((code) => NO_CONNECTION.has(code)),
    cause,
  })
}

/** The error for something inside a stream that had begun with status 200. */
export function errorFromStream(source: ErrorSource, what: string, said = '', cause?: unknown): ModelError {
  const refusal = readRefusalInStream(said)
  const kind = refusal === null ? 'failed' : 'refused'
  return new ModelError(kind, sentence(`${source.label} ${what}`, said, source.redact), {
    aiSystem: source.aiSystem,
    refusal,
    isOutage: refusal === null && OVERLOADED.test(said.slice(0, MAX_SAID)),
    cause,
  })
}

/** How providers say inside a stream what would have been a 503 or a 529 before it; other errors there may be the request's own. */
const OVERLOADED =
  /^overloaded|\b(is|are) (currently |temporarily )?(overloaded|unavailable)|\bat capacity\b|\boverloaded_error\b/i

/** The same of what came whole with 200: some servers say so that they do not know the path. */
export function errorFromBody(source: ErrorSource, what: string, said: string): ModelError {
  const question = whyMissing(source.address ?? null)
  return new ModelError('failed', asking(sentence(`${source.label} ${what}`, said, source.redact), question), {
    aiSystem: source.aiSystem,
    retryable: question === null,
  })
}

export function abortedError(source: { aiSystem: string; label: string }, cause?: unknown): ModelError {
  return new ModelError('aborted', `The request to ${source.label} was cancelled`, { aiSystem: source.aiSystem, cause })
}

/**
 * The sentence for people in an error body. Known shapes: `{error: {message}}` (OpenAI and nearly everybody),
 * `[{error: {message}}]` (Google), `{error: "…"}` (Ollama), `{message}` (Cohere, AWS), `{detail}` (FastAPI, so vLLM);
 * otherwise the text itself without tags.
 */
export function whatItSaid(body: string): string {
  return messageIn(parseJson(body)) ?? textOfPage(body)
}

/** The text of a page without tags, scripts and styles. Step by step: an expression for it looks to the end from each tag. */
function textOfPage(page: string): string {
  const lower = page.toLowerCase()
  let text = ''
  let at = 0
  for (const { index, 1: name } of page.matchAll(/<(script|style)/gi)) {
    if (index < at) continue
    const closing = `</${name?.toLowerCase()}>`
    const end = lower.indexOf(closing, index)
    if (end === -1) break
    text += `${page.slice(at, index)} `
    at = end + closing.length
  }
  return (text + page.slice(at)).replace(/<[^<>]*>/g, ' ')
}

/** The sentence in an already parsed error value, or null. */
export function messageIn(value: unknown): string | null {
  let inner = value
  for (let level = 0; level < DEEPEST_MESSAGE; level++) {
    if (typeof inner === 'string') return inner === '' ? null : inner
    if (Array.isArray(inner)) inner = inner[0]
    else if (isJsonObject(inner)) inner = inner.error ?? inner.message ?? inner.detail ?? inner.msg ?? null
    else return null
  }
  return null
}

/** Levels of objects and lists that are looked into for a message. */
const DEEPEST_MESSAGE = 16

/** Milliseconds from `retry-after-ms` or `retry-after` (seconds or an HTTP date, RFC 9110 section 10.2.3), or null. */
export function readRetryAfter(headers: ErrorResponse['headers'], now: number): number | null {
  const milliseconds = Number(single(headers['retry-after-ms']) ?? Number.NaN)
  if (Number.isFinite(milliseconds) && milliseconds >= 0) return Math.ceil(milliseconds)
  const value = single(headers['retry-after'])?.trim()
  if (value === undefined || value === '') return null
  if (/^\d+(?:\.\d+)?$/.test(value)) return Math.ceil(Number(value) * 1_000)
  // A date begins with the name of a day; without one `Date.parse` makes a date of nearly anything.
  const date = /^[a-z]{3}/i.test(value) ? Date.parse(value) : Number.NaN
  return Number.isNaN(date) ? null : Math.max(0, date - now)
}

/** Google says 400 to a wrong key. */
function isKeyRefusal(status: number, said: string): boolean {
  return status === 401 || status === 403 || (status === 400 && /api key not valid/i.test(said))
}

function judge(status: number, said: string, body: string): Verdict {
  if (isKeyRefusal(status, said)) {
    return { kind: 'failed', retryable: false, isKeyRefused: true }
  }
  if (status === 408) return { kind: 'timeout', retryable: true }
  // OpenAI says 429 to an account without money, and waiting does not help that.
  if (status === 429) return { kind: 'rate_limited', retryable: !body.includes('insufficient_quota') }
  if (status === 529) return { kind: 'rate_limited', retryable: true }
  if (status === 402 || status < 400) return { kind: 'failed', retryable: false }
  if (status >= 500 || status === 409) return { kind: 'failed', retryable: true }
  return { kind: 'refused', retryable: false }
}

function sentence(beginning: string, said: string, redact: Redact): string {
  // Redacted before it is cut: half a key is no longer recognized, and still tells too much.
  // And made printable before that: what cannot be seen would keep a key from being recognized, and then be gone.
  const clean = redact(printableLine(said.slice(0, MAX_READ).toWellFormed())).trim()
  if (clean === '') return beginning
  return `${beginning}: ${clean.length > MAX_SAID ? `${clean.slice(0, MAX_SAID).toWellFormed()}…` : clean}`
}

const REASON_OF_CODE: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'the connection was refused',
  ECONNRESET: 'the connection was reset',
  EPIPE: 'the connection was reset',
  ENOTFOUND: 'its name is unknown',
  EAI_AGAIN: 'its name could not be looked up',
  ETIMEDOUT: 'the connection took too long',
  EHOSTUNREACH: 'there is no way to it',
  ENETUNREACH: 'there is no way to it',
  ECONNABORTED: 'the connection was closed',
  CERT_HAS_EXPIRED: 'its certificate has expired',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'its certificate is not trusted',
  SELF_SIGNED_CERT_IN_CHAIN: 'its certificate is not trusted',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'its certificate is not trusted',
  ERR_TLS_CERT_ALTNAME_INVALID: 'its certificate is for another name',
  UND_ERR_DESTROYED: 'the server is closing',
  UND_ERR_CLOSED: 'the server is closing',
  UND_ERR_ABORTED: 'the connection was closed',
  UND_ERR_HEADERS_OVERFLOW: 'its headers are too long',
  HPE_INVALID_CONSTANT: 'it does not speak HTTP',
  UND_ERR_CONNECT_TIMEOUT: 'the connection took too long',
  UND_ERR_HEADERS_TIMEOUT: 'it was silent for too long',
  UND_ERR_BODY_TIMEOUT: 'it was silent for too long',
  UND_ERR_SOCKET: 'the connection was closed',
}

/** Of these, the ones that say that no connection came to be. */
const NO_CONNECTION: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'UND_ERR_CONNECT_TIMEOUT',
  'CERT_HAS_EXPIRED',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UND_ERR_DESTROYED',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'ERR_TLS_CERT_ALTNAME_INVALID',
  'UND_ERR_CLOSED',
])

/** Whether it is the connection that failed. */
export function isNetworkError(error: unknown): boolean {
  return codesIn(error).some((code) => REASON_OF_CODE[code] !== undefined)
}

/** `fetch failed` says nothing, what is below it does. Never its message: that names the address. */
function networkReason(error: unknown): string {
  const codes = codesIn(error)
  const known = codes.map((code) => REASON_OF_CODE[code]).find((reason) => reason !== undefined)
  return known ?? codes.findLast((code) => /^[A-Z][A-Z0-9_]{2,60}$/.test(code)) ?? ''
}

function codesIn(error: unknown): string[] {
  const found: string[] = []
  for (let at = error; at instanceof Error && found.length < 6; at = at.cause) {
    found.push('code' in at && typeof at.code === 'string' ? at.code : '')
  }
  return found
}

function single(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value[0] : value
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text.replace(/^\uFEFF/, ''))
  } catch {
    return null
  }
}

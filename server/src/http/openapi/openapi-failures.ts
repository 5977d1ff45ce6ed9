import type { RouteOptions } from 'fastify'
import { type ErrorCode, STATUS_OF_CODE } from '../../errors.ts'
import { isJsonObject, type JsonObject, type JsonValue } from '../../lib/json.ts'

/** What each failure is, as the document says it. An `internal_error` is a fault of the server, and no part of the contract. */
const DESCRIPTIONS = {
  bad_request: 'The request cannot be read, or a field of it is wrong; `details` names each.',
  unauthorized: 'There is no key, or it is unknown, revoked or expired.',
  forbidden: 'The key lacks the scope, or what is asked for is not active.',
  not_found: 'There is no such thing in this organization.',
  conflict: 'It is busy, or cannot change, or the `Idempotency-Key` came with another request before.',
  gone: 'It was deleted.',
  payload_too_large: 'The body is larger than this server accepts.',
  unsupported_media_type: 'The body is of a type that is not taken here.',
  unprocessable_entity: 'The request is well-formed, and what it asks for is impossible.',
  rate_limited: 'A limit is reached; `Retry-After` says when to try again.',
  cancelled: 'The turn was cancelled before there was any text.',
  provider_error: 'The model failed.',
  unavailable: 'Something that is needed is not there now: the database, a model, or time.',
  provider_timeout: 'The model took too long.',
} as const satisfies Record<Exclude<ErrorCode, 'internal_error'>, string>

type Documented = keyof typeof DESCRIPTIONS
const CODES = Object.keys(DESCRIPTIONS) as Documented[]
const TAKES_BODY: ReadonlySet<string> = new Set(['POST', 'PATCH', 'PUT', 'DELETE'])
const TAKES_IDEMPOTENCY_KEY: ReadonlySet<string> = new Set(['POST', 'PATCH', 'PUT'])

/** What a route can fail with because of what is in front of its handler: reading, keys, scopes, limits, idempotency. */
export function sharedFailures({ method, config }: Pick<RouteOptions, 'method' | 'config'>): Documented[] {
  const methods = [method].flat()
  const codes: Documented[] = ['bad_request']
  if (methods.some((name) => TAKES_BODY.has(name))) codes.push('payload_too_large', 'unsupported_media_type')
  if (config?.isPublic) return codes
  codes.push('unauthorized', 'rate_limited', 'unavailable')
  if (config?.scope) codes.push('forbidden')
  if (methods.some((name) => TAKES_IDEMPOTENCY_KEY.has(name))) codes.push('conflict')
  return codes
}

/**
 * The responses of a route for the document: each status that it can answer stands for itself, in place of the ranges
 * by which the server finds the schema of an error.
 */
export function documentFailures(route: Pick<RouteOptions, 'method' | 'config' | 'schema'>): Record<string, unknown> {
  const { '4xx': error, '5xx': _, ...responses } = (route.schema?.response ?? {}) as Record<string, unknown>
  const shared = sharedFailures(route).map((code) => [STATUS_OF_CODE[code], error])
  return { ...responses, ...Object.fromEntries(shared) }
}

/** Puts each failure into `components.responses` once, and a reference to it in its places. */
export function shareFailures(document: JsonObject): JsonObject {
  const responses: Record<string, JsonValue> = {}
  const nameOf = new Map(CODES.map((code) => [String(STATUS_OF_CODE[code]), code]))

  function share(operation: JsonValue): JsonValue {
    if (!isJsonObject(operation) || !isJsonObject(operation['responses'])) return operation
    const shared = Object.entries(operation['responses']).map(([status, response]): [string, JsonValue] => {
      const code = nameOf.get(status)
      if (code === undefined || !isJsonObject(response)) return [status, response as JsonValue]
      const name = code.replaceAll(/(^|_)(\w)/g, (_all, _bar, letter: string) => letter.toUpperCase())
      responses[name] = { ...response, description: DESCRIPTIONS[code] }
      return [status, { $ref: `#/components/responses/${name}` }]
    })
    return { ...operation, responses: Object.fromEntries(shared) }
  }

  const mapEntries = (value: JsonValue | undefined, map: (member: JsonValue) => JsonValue): JsonObject =>
    Object.fromEntries(Object.entries(isJsonObject(value) ? value : {}).map(([name, member]) => [name, map(member)]))
  const paths = mapEntries(document['paths'], (path) => mapEntries(path, share))
  const sorted = Object.fromEntries(Object.entries(responses).sort(([a], [b]) => (a < b ? -1 : 1)))
  return { ...document, paths, components: { ...(document['components'] as JsonObject), responses: sorted } }
}

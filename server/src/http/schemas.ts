import { type ErrorCode, STATUS_OF_CODE } from '../errors.ts'
import type { JsonObject, JsonValue } from '../lib/json.ts'
import { type TProperties, type TSchema, Type } from '../lib/schema.ts'

/** The same schema, with null allowed: one type list instead of a union, so that a wrong value gives one error. */
export function Nullable<T>(schema: TSchema & { static?: T }) {
  const { type, ...rest } = schema as unknown as { type: string | string[] }
  return Type.Unsafe<T | null>({ ...rest, type: [type, 'null'].flat() })
}

export const Uuid = Type.String({ format: 'uuid' })
export const Text = (maxLength?: number) => Type.String(maxLength === undefined ? {} : { maxLength })
export const NullableText = (maxLength?: number) =>
  Type.Unsafe<string | null>({ type: ['string', 'null'], ...(maxLength === undefined ? {} : { maxLength }) })
export const NullableUuid = Type.Unsafe<string | null>({ type: ['string', 'null'], format: 'uuid' })
export const NullableInteger = Type.Unsafe<number | null>({ type: ['integer', 'null'] })
export const NullableFlag = Type.Unsafe<boolean | null>({ type: ['boolean', 'null'] })
export const Timestamp = Type.String({ format: 'date-time' })
export const NullableTimestamp = Type.Unsafe<string | null>({ type: ['string', 'null'], format: 'date-time' })
export const AnyObject = Type.Unsafe<JsonObject>({ type: 'object', additionalProperties: true })
export const NullableObject = Type.Unsafe<JsonObject | null>({ type: ['object', 'null'], additionalProperties: true })
export const NullableUuids = Type.Unsafe<string[] | null>({
  type: ['array', 'null'],
  items: { type: 'string', format: 'uuid' },
  maxItems: 1_000,
})
export const AnyJson = Type.Unsafe<JsonValue>({})

/** An AI system by one of its names, or by its number in the compatible API. */
export const AiSystemName = Type.Unsafe<string | number>({ type: ['string', 'integer'], minLength: 1, maxLength: 50 })

/** An object with a name of its own in the OpenAPI document. */
export function Named<T extends TProperties>(title: string, properties: T) {
  return Type.Object(properties, { title })
}

/** What went wrong, as it stands in `error`. */
export const ErrorFields = Type.Object({
  code: Type.String(),
  message: Type.String(),
  details: Type.Array(Type.Object({ field: Type.String(), issue: Type.String() })),
  conversationId: Type.Optional(Type.String()),
  runId: Type.Optional(Type.String()),
})

const ErrorBody = Named('Error', { error: ErrorFields })

type Failures = { '4xx': typeof ErrorBody; '5xx': typeof ErrorBody }

/**
 * For the `response` of a route: its success, and the one shape of all its errors. `failures` are those of this route, for
 * the OpenAPI document, which knows by itself what every route can fail with (see `sharedFailures`).
 */
export function answers<S extends TSchema>(success: S, ...failures: readonly ErrorCode[]): { 200: S } & Failures {
  return { 200: success, ...declare(failures) }
}

/** The same for an answer that is not, or not always, JSON: `content` has a schema for each media type. */
export function answersAs<T>(content: Record<string, TSchema>, ...failures: readonly ErrorCode[]) {
  const byType = Object.entries(content).map(([type, schema]) => [type, { schema }])
  return answers(Type.Unsafe<T>({ content: Object.fromEntries(byType) }), ...failures)
}

/** The same for a route that answers 204. */
export function answersNothing(...failures: readonly ErrorCode[]) {
  return { 204: Type.Null({ description: 'Done.' }), ...declare(failures) }
}

function declare(failures: readonly ErrorCode[]): Failures {
  const byStatus = failures.map((code) => [STATUS_OF_CODE[code], ErrorBody])
  return { ...Object.fromEntries(byStatus), '4xx': ErrorBody, '5xx': ErrorBody }
}

/** Bytes of any kind, for the document. */
export const Binary = Type.Unsafe<Buffer>({ type: 'string', format: 'binary' })

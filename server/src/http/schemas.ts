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

const ErrorBody = Named('Error', {
  error: Type.Object({
    code: Type.String(),
    message: Type.String(),
    details: Type.Array(Type.Object({ field: Type.String(), issue: Type.String() })),
    conversationId: Type.Optional(Type.String()),
    runId: Type.Optional(Type.String()),
  }),
})

/** For the `response` of a route: its success, and the one shape of all its errors. */
export function answers<S extends TSchema>(success: S) {
  return { 200: success, '4xx': ErrorBody, '5xx': ErrorBody }
}

/** The same for a route that answers 204. */
export const answersNothing = { 204: Type.Null({ description: 'Done.' }), '4xx': ErrorBody, '5xx': ErrorBody }

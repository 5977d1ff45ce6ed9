import { isJsonObject, type JsonObject } from '../lib/json.ts'
import { type Static, Type } from '../lib/schema.ts'

const JsonSchemaFormat = Type.Object({
  type: Type.Literal('json_schema'),
  json_schema: Type.Object({
    name: Type.String({ minLength: 1, maxLength: 64 }),
    description: Type.Optional(Type.String({ maxLength: 4_000 })),
    schema: Type.Unsafe<JsonObject>({ type: 'object' }),
    strict: Type.Optional(Type.Boolean()),
  }),
})

/**
 * The form a reply shall have: `text`, `json`, or `response_format` as Chat Completions spells it
 * (https://platform.openai.com/docs/api-reference/chat/create).
 */
export const ResponseFormat = Type.Union([
  Type.Literal('text'),
  Type.Literal('json'),
  Type.Object({ type: Type.Literal('text') }),
  Type.Object({ type: Type.Literal('json_object') }),
  JsonSchemaFormat,
])
export type ResponseFormat = Static<typeof ResponseFormat>

/** The same with one spelling for each meaning; this is also what goes over the wire of Chat Completions. */
export type PlainResponseFormat = { type: 'text' } | { type: 'json_object' } | Static<typeof JsonSchemaFormat>

/** null when nothing was asked for. */
export function plainResponseFormat(format: ResponseFormat | undefined): PlainResponseFormat | null {
  if (format === undefined) return null
  if (format === 'text') return { type: 'text' }
  if (format === 'json') return { type: 'json_object' }
  // Stored settings may be older than this schema; what cannot be understood is left out rather than sent on.
  return isJsonObject(format) ? format : null
}

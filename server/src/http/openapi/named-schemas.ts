import { isJsonObject, type JsonObject, type JsonValue } from '../../lib/json.ts'

/**
 * Moves every object schema that has a title to `components.schemas`, and leaves a reference in its place, so that a
 * document says each thing once and generated clients get a type for it. Throws when two schemas share a title and differ.
 */
export function hoistNamedSchemas(document: JsonObject): JsonObject {
  const schemas: Record<string, JsonValue> = {}

  function hoist(value: JsonValue): JsonValue {
    if (Array.isArray(value)) return value.map(hoist)
    if (value === null || typeof value !== 'object') return value
    const copy = Object.fromEntries(
      Object.entries(withExample(value)).map(([name, member]) => [name, hoist(member as JsonValue)]),
    )
    // An example stands with the operation, and is no part of what makes two schemas the same.
    const { title, examples: _examples, ...schema } = copy
    if (typeof title !== 'string' || copy['type'] !== 'object') return copy
    const known = schemas[title]
    if (known !== undefined && JSON.stringify(known) !== JSON.stringify(schema)) {
      throw new Error(`two schemas that differ are called ${title}`)
    }
    schemas[title] = schema
    return { $ref: `#/components/schemas/${title}` }
  }

  const paths = hoist(document['paths'] as JsonValue)
  const components = { ...(document['components'] as JsonObject), schemas: sorted(schemas) }
  return { ...document, paths, components }
}

/** A media type with the example of its schema, where that is still in the schema. */
function withExample(media: { [key: string]: JsonValue }): { [key: string]: JsonValue } {
  const { schema } = media
  if (!isJsonObject(schema) || !Array.isArray(schema['examples'])) return media
  const { examples, ...plain } = schema
  return { ...media, schema: plain, example: media['example'] ?? (examples as JsonValue[])[0] ?? null }
}

function sorted(schemas: Record<string, JsonValue>): JsonObject {
  return Object.fromEntries(Object.entries(schemas).sort(([a], [b]) => (a < b ? -1 : 1)))
}

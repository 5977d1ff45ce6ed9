import { isJsonObject, type JsonObject, type JsonValue } from '../../lib/json.ts'

/** Examples by the titles of schemas; `Title[]` for a list of such. */
export type ApiExamples = Readonly<Record<string, JsonValue>>

/**
 * Moves every object schema that has a title to `components.schemas`, and leaves a reference in its place, so that a
 * document says each thing once and generated clients get a type for it. Bodies and answers get the example of their
 * schema, if there is one. Throws when two schemas share a title and differ.
 */
export function hoistNamedSchemas(document: JsonObject, examples: ApiExamples = {}): JsonObject {
  const schemas: Record<string, JsonValue> = {}

  function hoist(value: JsonValue): JsonValue {
    if (Array.isArray(value)) return value.map(hoist)
    if (value === null || typeof value !== 'object') return value
    const copy = Object.fromEntries(
      Object.entries(withExample(value, examples)).map(([name, member]) => [name, hoist(member as JsonValue)]),
    )
    const { title, ...schema } = copy
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

/** What something is called that is described: of a list the title of its items, with `[]`. */
function titleOf(schema: JsonObject): string {
  const { title, items } = schema
  if (typeof title === 'string') return title
  return isJsonObject(items) && typeof items['title'] === 'string' ? `${items['title']}[]` : ''
}

/** A media type has a `schema`. Parameters have one too, but no title. */
function withExample(value: JsonObject, examples: ApiExamples): JsonObject {
  const { schema } = value
  const example = isJsonObject(schema) ? examples[titleOf(schema)] : undefined
  return example === undefined ? value : { ...value, example }
}

function sorted(schemas: Record<string, JsonValue>): JsonObject {
  return Object.fromEntries(Object.entries(schemas).sort(([a], [b]) => (a < b ? -1 : 1)))
}

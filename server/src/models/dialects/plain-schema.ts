import { isJsonObject, type JsonObject, type JsonValue } from '../../lib/json.ts'

/** References within references that are followed. */
const DEEPEST = 12
/** Nodes of one schema that are written; what is larger is cut there. */
const MOST_NODES = 20_000

/** What the strictest of providers takes. */
const TAKEN: ReadonlySet<string> = new Set([
  'type',
  'description',
  'properties',
  'required',
  'items',
  'enum',
  'anyOf',
  'minItems',
  'maxItems',
  'minimum',
  'maximum',
])

/**
 * A schema with as little as every provider takes: references inlined, alternatives at the top merged, formats, patterns
 * and everything else dropped that only narrows. What it accepts is more, never less: inputs are checked with the schema
 * as it was written.
 */
export function plainSchema(schema: JsonObject): JsonObject {
  let nodes = 0

  function plain(value: JsonValue | undefined, depth: number): JsonObject {
    nodes++
    if (!isJsonObject(value) || depth > DEEPEST || nodes > MOST_NODES) return {}
    const target = typeof value['$ref'] === 'string' ? pointed(value['$ref']) : null
    if (target !== null) return { ...plain(target, depth + 1), ...describedBy(value) }
    const merged = mergeAll(value, depth)
    const result: JsonObject = {}
    for (const [name, member] of Object.entries(merged)) {
      if (!TAKEN.has(name)) continue
      if (name === 'properties' && isJsonObject(member)) {
        result[name] = Object.fromEntries(Object.entries(member).map(([key, one]) => [key, plain(one, depth + 1)]))
      } else if (name === 'items') result[name] = plain(Array.isArray(member) ? (member[0] ?? {}) : member, depth + 1)
      else if (name === 'anyOf' && Array.isArray(member)) result[name] = member.map((one) => plain(one, depth + 1))
      else if (member !== undefined) result[name] = member
    }
    if (merged['const'] !== undefined && typeof merged['const'] === 'string') result['enum'] = [merged['const']]
    if (Array.isArray(result['type'])) result['type'] = result['type'].find((one) => one !== 'null') ?? 'string'
    if (Array.isArray(result['enum']) && !result['enum'].every((one) => typeof one === 'string')) delete result['enum']
    if (result['type'] === 'object') result['properties'] ??= {}
    if (result['type'] === 'array') result['items'] ??= {}
    return withoutMissing(result)
  }

  /** What `allOf` says together, and `oneOf` as `anyOf`. */
  function mergeAll(value: JsonObject, depth: number): JsonObject {
    const { allOf, oneOf, ...rest } = value
    const merged: JsonObject = { ...rest, ...(Array.isArray(oneOf) && rest['anyOf'] === undefined && { anyOf: oneOf }) }
    for (const part of Array.isArray(allOf) ? allOf : []) {
      const { properties, required, ...more } = plain(part, depth + 1)
      Object.assign(merged, { ...more, ...merged })
      if (isJsonObject(properties)) {
        merged['properties'] = { ...properties, ...(isJsonObject(merged['properties']) && merged['properties']) }
      }
      if (Array.isArray(required)) {
        merged['required'] = [
          ...new Set([...(Array.isArray(merged['required']) ? merged['required'] : []), ...required]),
        ]
      }
    }
    return merged
  }

  function pointed(reference: string): JsonValue | null {
    if (reference === '#') return {}
    if (!reference.startsWith('#/')) return {}
    let at: JsonValue | undefined = schema
    for (const step of reference.slice(2).split('/')) {
      const name = decodeURIComponent(step).replaceAll('~1', '/').replaceAll('~0', '~')
      at = isJsonObject(at) ? at[name] : undefined
    }
    return at ?? {}
  }

  return topOf(plain(schema, 0))
}

function describedBy({ description }: JsonObject): JsonObject {
  return typeof description === 'string' ? { description } : {}
}

function withoutMissing(schema: JsonObject): JsonObject {
  const { required, properties } = schema
  if (!Array.isArray(required)) return schema
  const there = required.filter((name) => isJsonObject(properties) && Object.hasOwn(properties, String(name)))
  const { required: _, ...rest } = schema
  return there.length > 0 ? { ...rest, required: there } : rest
}

/** At the top stands an object without alternatives: their members are all offered, and none is required. */
function topOf(schema: JsonObject): JsonObject {
  const { anyOf, ...rest } = schema
  const alternatives = Array.isArray(anyOf) ? anyOf.filter(isJsonObject) : []
  const members = alternatives.map(({ properties }) => (isJsonObject(properties) ? properties : {}))
  return withMembers({ ...rest, properties: Object.assign({}, ...members, rest['properties']) })
}

/** What OpenAI and LM Studio want of every tool: an object that names its members, even if it has none. */
export function withMembers(schema: JsonObject): JsonObject {
  if (schema['type'] === 'object' && isJsonObject(schema['properties'])) return schema
  return { ...schema, type: 'object', properties: isJsonObject(schema['properties']) ? schema['properties'] : {} }
}

import { isJsonObject, type JsonObject, type JsonValue } from '../lib/json.ts'
import { KEYWORDS } from './schema-keywords.ts'

/**
 * A schema of 2020-12 that says the same as `root`. `schemas` are all that are in it, `targets` says for those with a
 * reference what that means. What is referred to stands in `$defs` under a number, and a `$ref` to it where it was.
 */
export function writePlain(
  root: JsonValue,
  schemas: ReadonlySet<JsonObject>,
  targets: ReadonlyMap<JsonObject, JsonValue>,
): JsonValue {
  const names = new Map([...new Set(targets.values())].map((target, i) => [target, String(i)]))
  const copies = new Map<JsonValue, JsonObject>()
  for (const schema of schemas) copies.set(schema, bare())

  const refer = (target: JsonValue): JsonValue => ({ $ref: `#/$defs/${names.get(target)}` })
  const placed = (value: JsonValue): JsonValue => {
    if (!isJsonObject(value)) return value
    return names.has(value) ? refer(value) : (copies.get(value) as JsonObject)
  }
  const placedEach = (values: JsonValue): JsonValue => {
    if (Array.isArray(values)) return values.map(placed)
    const copy = bare()
    for (const [name, value] of Object.entries(values as JsonObject)) copy[name] = placed(value)
    return copy
  }

  for (const schema of schemas) fill(copies.get(schema) as JsonObject, schema)

  function fill(copy: JsonObject, schema: JsonObject): void {
    for (const [keyword, content] of Object.entries(schema)) {
      switch (KEYWORDS.get(keyword)) {
        case 'schema':
        case 'items':
          copy[keyword] = Array.isArray(content) ? placedEach(content) : placed(content)
          break
        case 'list':
        case 'map':
        case 'patterns':
        case 'dependencies':
          copy[keyword] = placedEach(content)
          break
        case 'value':
        case 'pattern':
          copy[keyword] = content
          break
        default:
      }
    }
    const target = targets.get(schema)
    if (target !== undefined) Object.assign(copy, refer(target))
    renew(copy, schema)
  }

  if (names.size === 0) return placed(root)
  const definitions = bare()
  for (const [target, name] of names) definitions[name] = copies.get(target) ?? target
  return { ...(placed(root) as JsonObject), $defs: definitions }
}

/** What older dialects and OpenAPI say in another way. */
function renew(copy: JsonObject, { nullable }: JsonObject): void {
  const { items, additionalItems, type } = copy
  if (Array.isArray(items)) {
    copy['prefixItems'] = items
    delete copy['items']
    if (additionalItems !== undefined) copy['items'] = additionalItems
  }
  delete copy['additionalItems']
  for (const [exclusive, inclusive] of BOUNDS) {
    if (typeof copy[exclusive] !== 'boolean') continue
    if (copy[exclusive] && copy[inclusive] !== undefined) {
      copy[exclusive] = copy[inclusive]
      delete copy[inclusive]
    } else delete copy[exclusive]
  }
  if (nullable === true && typeof type === 'string' && type !== 'null') copy['type'] = [type, 'null']
}

const BOUNDS = [
  ['exclusiveMinimum', 'minimum'],
  ['exclusiveMaximum', 'maximum'],
] as const

/** Without a prototype, so that `__proto__` is a name like any other. */
function bare(): JsonObject {
  return Object.create(null) as JsonObject
}

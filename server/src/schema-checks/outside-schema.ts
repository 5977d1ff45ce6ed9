import { isJsonObject, type JsonObject, type JsonValue, jsonDepth } from '../lib/json.ts'
import { findReferred } from './schema-references.ts'
import { SchemaRefused } from './schema-refused.ts'
import { walkSchemas } from './schema-walk.ts'
import { writePlain } from './write-plain.ts'

/** UTF-16 units of a schema as JSON, and levels of objects and arrays in it. */
export const MOST_OF_SCHEMA = { size: 131_072, depth: 64 }

/**
 * Reads a JSON Schema that somebody has sent, and gives it back as the text of a schema of 2020-12 that can be compiled
 * without surprises: only keywords that are known, and `$ref` only to `#/$defs/…`, where everything is that was referred
 * to. Annotations, `format`, `$schema` and whatever else is unknown are left out; what older dialects and OpenAPI spell
 * in another way (a list as `items`, `exclusiveMinimum: true`, `nullable`) is written as 2020-12 has it. A dynamic
 * reference is one like any other, because there is only one document.
 *
 * Takes a time in proportion to the size, and does not recurse deeper than the limit. Throws {@link SchemaRefused} for
 * what is too large, for a keyword whose value is of the wrong kind, for `$async`, for a reference to something else
 * than a schema in the same document, and for an `$id` below the top, which would change what references mean. One that is
 * only a name for its schema, as `#order` in draft-07, does not.
 */
export function readOutsideSchema(schema: JsonValue): string {
  if (!isJsonObject(schema) && typeof schema !== 'boolean') throw new SchemaRefused(null, 'must be an object')
  if (jsonDepth(schema, MOST_OF_SCHEMA.depth) > MOST_OF_SCHEMA.depth) {
    throw new SchemaRefused(null, `must not have more than ${MOST_OF_SCHEMA.depth} levels`)
  }
  if (JSON.stringify(schema).length > MOST_OF_SCHEMA.size) {
    throw new SchemaRefused(null, `must not be larger than ${MOST_OF_SCHEMA.size} characters`)
  }
  const ownName = nameOf(schema)
  const walk = walkSchemas()
  walk.from(schema, null)
  const targets = new Map<JsonObject, JsonValue>()
  // What is found there may refer on, so the list grows while it is read.
  for (const { schema: referring, keyword, text, place } of walk.references) {
    const target = findReferred(schema, walk.anchors, withoutOwnName(text, ownName))
    const at = { parent: place, key: keyword }
    if (target === undefined) throw new SchemaRefused(at, 'must refer to a schema within this schema')
    if (targets.has(referring)) throw new SchemaRefused(at, 'cannot stand beside another reference')
    targets.set(referring, target)
    // It may lead to where no keyword has led yet, such as `#/components/schemas/Order`.
    walk.from(target, at)
  }
  return JSON.stringify(writePlain(schema, walk.schemas, targets))
}

/** What a document calls itself, without a fragment: `$id`, or `id` in draft-04. Empty if it does not. */
function nameOf(schema: JsonValue): string {
  const name = isJsonObject(schema) ? (schema['$id'] ?? schema['id']) : undefined
  return typeof name === 'string' ? (name.split('#', 1)[0] ?? '') : ''
}

/** A reference to the document by its own name is one within it. */
function withoutOwnName(reference: string, name: string): string {
  if (name === '' || !reference.startsWith(name)) return reference
  const rest = reference.slice(name.length)
  return rest === '' || rest.startsWith('#') ? rest.padEnd(1, '#') : reference
}

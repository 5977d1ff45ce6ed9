import { isJsonObject, type JsonObject, type JsonValue } from '../lib/json.ts'
import { KEYWORDS } from './schema-keywords.ts'
import { type Place, SchemaRefused } from './schema-refused.ts'

/**
 * Schemas in a schema, names and values in all their lists (`enum`, `required` …), and UTF-16 units of one pattern. Code
 * is made for each; a schema of this size is compiled in less than a second.
 */
export const MOST_IN_SCHEMA = { schemas: 2_000, members: 5_000, pattern: 1_000 }

/** With `#name` as their value they are what `$anchor` is since 2019-09: of draft-06 and -07, and of draft-04. */
const OLD_ANCHORS: ReadonlySet<string> = new Set(['$id', 'id'])

type Reference = { schema: JsonObject; keyword: string; text: string; place: Place }
type Visit = { value: JsonValue; place: Place }

/** Looks at every schema in a schema once, checks what its keywords have, and notes what refers and can be referred to. */
export function walkSchemas() {
  const schemas = new Set<JsonObject>()
  const references: Reference[] = []
  const anchors = new Map<string, JsonValue>()
  const toVisit: Visit[] = []
  const counted = { schemas: 0, members: 0 }

  function from(value: JsonValue, place: Place): void {
    toVisit.push({ value, place })
    for (let next = toVisit.pop(); next; next = toVisit.pop()) visit(next)
  }

  function visit({ value, place }: Visit): void {
    if (isJsonObject(value) && schemas.has(value)) return
    count('schemas', 1, place)
    if (typeof value === 'boolean') return
    if (!isJsonObject(value)) throw new SchemaRefused(place, 'must be a schema: an object or a boolean')
    schemas.add(value)
    for (const [keyword, content] of Object.entries(value)) {
      look(value, keyword, content, place, { parent: place, key: keyword })
    }
  }

  function look(schema: JsonObject, keyword: string, content: JsonValue, place: Place, at: Place): void {
    if (keyword === '$async') throw new SchemaRefused(at, 'is not possible')
    if (OLD_ANCHORS.has(keyword) && typeof content === 'string' && content.startsWith('#')) {
      anchors.set(content.slice(1), schema)
      return
    }
    if (keyword === '$id' && place !== null && typeof content === 'string') {
      throw new SchemaRefused(at, 'is only possible at the top')
    }
    switch (KEYWORDS.get(keyword)) {
      case 'schema':
        later(content, at)
        break
      case 'items':
        if (Array.isArray(content)) each(content, at)
        else later(content, at)
        break
      case 'list':
        each(listOf(content, at), at)
        break
      case 'map':
      case 'definitions':
        each(mapOf(content, at), at)
        break
      case 'patterns':
        for (const pattern of Object.keys(mapOf(content, at))) checkPattern(pattern, at)
        each(mapOf(content, at), at)
        break
      case 'dependencies':
        eachDependency(mapOf(content, at), at)
        break
      case 'pattern':
        checkPattern(textOf(content, at), at)
        break
      case 'reference':
        references.push({ schema, keyword, text: textOf(content, at), place })
        break
      case 'anchor':
        anchors.set(textOf(content, at), schema)
        break
      case 'value':
        countMembers(content, at)
        break
      case undefined:
    }
  }

  function later(value: JsonValue, place: Place): void {
    toVisit.push({ value, place })
  }

  function each(values: JsonValue[] | JsonObject, parent: Place): void {
    for (const [key, value] of Object.entries(values)) later(value, { parent, key })
  }

  function eachDependency(dependencies: JsonObject, parent: Place): void {
    for (const [key, value] of Object.entries(dependencies)) {
      const at = { parent, key }
      if (Array.isArray(value)) count('members', 1 + value.length, at)
      else later(value, at)
    }
  }

  function countMembers(content: JsonValue, at: Place): void {
    if (typeof content !== 'object' || content === null) return
    const values = Object.values(content)
    const inside = values.map((value) => (Array.isArray(value) ? value.length : 0))
    count(
      'members',
      inside.reduce((sum, length) => sum + length, values.length),
      at,
    )
  }

  function count(what: keyof typeof counted, more: number, place: Place): void {
    counted[what] += more
    if (counted[what] <= MOST_IN_SCHEMA[what]) return
    const issue = {
      schemas: `is one too many: a schema may have ${MOST_IN_SCHEMA.schemas} schemas in it`,
      members: `has too many members: all lists together may have ${MOST_IN_SCHEMA.members}`,
    }
    throw new SchemaRefused(place, issue[what])
  }

  return { from, schemas, references, anchors }
}

function checkPattern(pattern: string, at: Place): void {
  if (pattern.length <= MOST_IN_SCHEMA.pattern) return
  throw new SchemaRefused(at, `must not have a pattern of more than ${MOST_IN_SCHEMA.pattern} characters`)
}

function textOf(content: JsonValue, at: Place): string {
  if (typeof content === 'string') return content
  throw new SchemaRefused(at, 'must be a text')
}

function listOf(content: JsonValue, at: Place): JsonValue[] {
  if (Array.isArray(content)) return content
  throw new SchemaRefused(at, 'must be a list')
}

function mapOf(content: JsonValue, at: Place): JsonObject {
  if (isJsonObject(content)) return content
  throw new SchemaRefused(at, 'must be an object')
}

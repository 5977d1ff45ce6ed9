import { isJsonObject, type JsonObject, type JsonValue } from '../../../lib/json.ts'

/** Keywords with values, in which nothing is a keyword; which of them may be null; and those with names of the author's own. */
const VALUES = new Set(['const', 'default', 'enum', 'example', 'examples'])
const MAY_BE_NULL = new Set(['const', 'default', 'example'])
const MAPS = new Set(['properties', 'patternProperties', '$defs', 'definitions', 'dependentSchemas'])

/** The schema without keywords that are null, which no dialect knows and some servers write for what is not there. */
export function withoutNulls(schema: JsonObject): JsonObject {
  return keepKeywords(schema, (_keyword, value) => value !== null)
}

/** The schema without patterns: those of other languages, such as Python's `(?P<name>…)`, are none of JSON Schema. */
export function withoutPatterns(schema: JsonObject): JsonObject {
  return keepKeywords(schema, (keyword) => keyword !== 'pattern' && keyword !== 'patternProperties')
}

/** The levels of the schema must be bounded. */
function keepKeywords(schema: JsonObject, keeps: (keyword: string, value: JsonValue) => boolean): JsonObject {
  const within = (value: JsonValue): JsonValue => {
    if (Array.isArray(value)) return value.map(within)
    return isJsonObject(value) ? keepKeywords(value, keeps) : value
  }
  const members = (map: JsonObject) =>
    Object.fromEntries(
      Object.entries(map)
        .filter(([, member]) => member !== null)
        .map(([name, member]) => [name, within(member)]),
    )
  const kept = Object.entries(schema).filter(([keyword, value]) => MAY_BE_NULL.has(keyword) || keeps(keyword, value))
  return Object.fromEntries(
    kept.map(([keyword, value]) => {
      if (VALUES.has(keyword)) return [keyword, value]
      return [keyword, MAPS.has(keyword) && isJsonObject(value) ? members(value) : within(value)]
    }),
  )
}

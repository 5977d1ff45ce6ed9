/**
 * What the value of a keyword is:
 *
 * - `value`: data, such as numbers and names
 * - `pattern`: a regular expression
 * - `schema`, `list`, `map`: a schema, a list of them, schemas by name
 * - `patterns`: schemas by regular expression
 * - `items`: a schema, or as older dialects have it a list of them
 * - `dependencies`: by name a schema or a list of names
 * - `definitions`: schemas by name that only count where they are referred to
 * - `reference`, `anchor`: what refers within the schema, and what can be referred to
 */
export type KeywordKind =
  | 'value'
  | 'pattern'
  | 'schema'
  | 'list'
  | 'map'
  | 'patterns'
  | 'items'
  | 'dependencies'
  | 'definitions'
  | 'reference'
  | 'anchor'

const NAMES: Record<KeywordKind, string> = {
  value:
    'type enum const multipleOf maximum exclusiveMaximum minimum exclusiveMinimum maxLength minLength maxItems minItems ' +
    'uniqueItems maxContains minContains maxProperties minProperties required dependentRequired',
  pattern: 'pattern',
  schema:
    'not if then else contains propertyNames additionalProperties additionalItems unevaluatedItems unevaluatedProperties',
  list: 'allOf anyOf oneOf prefixItems',
  map: 'properties dependentSchemas',
  patterns: 'patternProperties',
  items: 'items',
  dependencies: 'dependencies',
  definitions: '$defs definitions',
  reference: '$ref $dynamicRef $recursiveRef',
  anchor: '$anchor $dynamicAnchor',
}

/**
 * The keywords of JSON Schema 2020-12, 2019-09 and draft-07 that say what is valid
 * (https://json-schema.org/draft/2020-12/json-schema-validation). What is not among them, such as `description`,
 * `format`, `example` and `x-order`, is for whoever reads the schema.
 */
export const KEYWORDS: ReadonlyMap<string, KeywordKind> = new Map(
  Object.entries(NAMES).flatMap(([kind, names]) => names.split(' ').map((name) => [name, kind as KeywordKind])),
)

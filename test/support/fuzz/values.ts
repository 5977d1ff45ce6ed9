import fc from 'fast-check'
import { isJsonObject, type JsonObject, type JsonValue } from '../../../server/src/lib/json.ts'

/** What JSON can say and a value of JavaScript cannot: it stands in a body as it is. */
export const verbatim = (text: string) => `@verbatim:${text}@`
/** An id that is filled in when the request is sent, of what is there by then. */
export const idOf = (kind: string, whose: 'own' | 'foreign', n: number) => `@id:${kind}:${whose}:${n}@`

const DEEP = (levels: number) => `${'['.repeat(levels)}${']'.repeat(levels)}`

/** What is hostile as a text. None of it is an address that anything could reach. */
export const HOSTILE_TEXTS = [
  ...['', ' ', '\0', 'a\0b', '\ud800', '\udfffx', '\u202egnp.exe', '\ufeff', '\u2028', '😀'.repeat(200), '\r\nx: y'],
  ...["'; drop table persona; --", '" or 1=1', '%00', '%', '{{name}}', '{{secret:KEY}}', '{{', '}}'],
  ...['{{'.repeat(500), `{{secret:${' '.repeat(2_000)}`, '__proto__', 'constructor', 'toString', '../../../etc/passwd'],
  ...[
    'a'.repeat(257),
    'a'.repeat(2_049),
    'a'.repeat(100_001),
    '9'.repeat(400),
    '<script>alert(1)</script>',
    '\\',
    '//',
  ],
  ...['2024-02-31', '0000-00-00T00:00:00Z', '+275760-09-13T00:00:00.001Z', '00000000-0000-0000-0000-000000000000'],
  ...['01890000-0000-7000-8000-00000000000g', 'true', 'null', 'NaN', '[]', '{}', '-1', '1e3', 'any', 'none'],
]

export const HOSTILE_VALUES: JsonValue[] = [
  ...HOSTILE_TEXTS,
  ...[null, true, false, 0, -1, 0.1, 1e21, -1e21, Number.MAX_SAFE_INTEGER, Number.MIN_VALUE],
  ...['-0', '1e400', '-1e400', '9007199254740993', '1E-400', DEEP(9), DEEP(65), DEEP(3_000)].map(verbatim),
  ...['{"__proto__":{"a":1}}', '{"constructor":{"prototype":{"a":1}}}', '{"a":1,"a":2}', '"\\ud800"'].map(verbatim),
  ...[[], {}, [null], [[]], { '': '' }, { $ref: '#' }, Array.from({ length: 1_001 }, () => 0)],
]

const TIMES = ['2024-02-29T23:59:59.999Z', '1970-01-01', '2999-12-31T00:00:00+14:00', '2024-01-01 00:00:00']
/** Nothing listens at these. */
const ADDRESSES = ['http://127.0.0.1:9/{x}', 'https://[::1]:9', 'http://169.254.169.254/latest', 'ftp://x', 'nonsense']

/** Fields for which the schema says too little to hit anything: what they hold in most requests. */
const KNOWN_FIELDS: Record<string, fc.Arbitrary<JsonValue>> = {
  url: fc.constantFrom(...ADDRESSES),
  // Everything that needs a network is called without one here, and fails before it goes out.
  aiSystem: fc.constantFrom<JsonValue>(
    'rehearsal',
    'rehearsal',
    'default',
    'Rehearsal',
    'openai',
    'groq',
    'ollama',
    0,
    3,
  ),
  model: fc.constantFrom('rehearsal', 'rehearsal', 'other'),
  externalUserId: fc.constantFrom('user-1', 'user-2', 'ü/ser?#', 'x'.repeat(256)),
  rehearsal: fc.constantFrom<JsonValue>(
    ...[{ text: 'One two three.' }, { failure: 'error' }, { failure: 'rate_limit' }, { failure: 'cut' }, {}],
    ...[{ text: 'a b c d', failAtToken: 2 }, { failures: 1 }, { text: '' }, { text: '\ud800 \0' }],
    ...[{ text: 'slow and slower', tokensPerSecond: 100 }, { toolCalls: [[{ name: 'look', input: { a: 1 } }]] }],
  ),
  scopes: fc.subarray(['conversations:read', 'conversations:write', 'personas:read', 'feedback:write'], {
    minLength: 1,
  }),
}

const ID_FIELDS: Record<string, string> = {
  conversationId: 'conversationId',
  personaId: 'personaId',
  personaVersionId: 'personaVersionId',
  defaultVersionId: 'personaVersionId',
  messageId: 'messageId',
  runId: 'runId',
  attachmentId: 'attachmentId',
  toolCallId: 'toolCallId',
  feedbackId: 'feedbackId',
  organizationId: 'organizationId',
  id: 'keyId',
  continuationToken: 'continuationToken',
}

/** Arbitrary values as the schemas of a document allow them. */
export function createValues(resolve: (schema: JsonObject) => JsonObject) {
  const made = new Map<JsonObject, fc.Arbitrary<JsonValue>>()

  /** A value that is as `schema` says; `name` is what the field is called. */
  function valid(schema: JsonObject, name = ''): fc.Arbitrary<JsonValue> {
    const known = knownField(name)
    if (known) return known
    const resolved = resolve(schema)
    const before = made.get(resolved)
    if (before) return before
    const value = fromSchema(resolved)
    made.set(resolved, value)
    return value
  }

  function fromSchema(schema: JsonObject): fc.Arbitrary<JsonValue> {
    if (Array.isArray(schema['enum'])) return fc.constantFrom(...schema['enum'])
    if ('const' in schema) return fc.constant(schema['const'] as JsonValue)
    if (Array.isArray(schema['anyOf'])) return fc.oneof(...(schema['anyOf'] as JsonObject[]).map((one) => valid(one)))
    const types = [schema['type'] ?? 'any'].flat() as string[]
    return fc.oneof(...types.map((type) => ({ weight: type === 'null' ? 1 : 4, arbitrary: ofType(type, schema) })))
  }

  function ofType(type: string, schema: JsonObject): fc.Arbitrary<JsonValue> {
    const number = (name: string) => (typeof schema[name] === 'number' ? schema[name] : undefined)
    switch (type) {
      case 'null':
        return fc.constant(null)
      case 'boolean':
        return fc.boolean()
      case 'integer': {
        const [min = -10, max = 1_000] = [number('minimum'), number('maximum')]
        return fc.oneof(
          fc.constantFrom(min, Math.max(min, max)),
          fc.integer({ min, max: Math.max(min, Math.min(max, 2e9)) }),
        )
      }
      case 'number': {
        const [min = -10, max = 1_000] = [number('minimum'), number('maximum')]
        return fc.oneof(fc.constantFrom(min, max), fc.double({ min, max, noNaN: true }))
      }
      case 'string':
        return text(schema, number('minLength') ?? 0, number('maxLength') ?? 60)
      case 'array': {
        const items = isJsonObject(schema['items']) ? valid(schema['items']) : fc.jsonValue({ maxDepth: 1 })
        return fc.array(items as fc.Arbitrary<JsonValue>, { minLength: number('minItems') ?? 0, maxLength: 3 })
      }
      case 'object':
        return object(schema)
      default:
        return fc.jsonValue({ maxDepth: 2 }) as fc.Arbitrary<JsonValue>
    }
  }

  function text(schema: JsonObject, minLength: number, maxLength: number): fc.Arbitrary<JsonValue> {
    if (schema['format'] === 'uuid') return fc.uuid()
    if (schema['format'] === 'date-time') return fc.constantFrom(...TIMES)
    if (typeof schema['pattern'] === 'string' && schema['pattern'] !== '\\S') {
      return fc.stringMatching(new RegExp(schema['pattern']), { maxLength: Math.min(maxLength, 64) })
    }
    const most = Math.min(maxLength, 40)
    const longest = fc.constantFrom('a', 'é', '😀').map((unit) => unit.repeat(maxLength).slice(0, maxLength))
    return fc.oneof(
      {
        weight: 12,
        arbitrary: fc.string({ minLength: Math.max(1, minLength), maxLength: Math.max(1, most), unit: 'grapheme' }),
      },
      { weight: 6, arbitrary: fc.constantFrom('Hello, who are you?', 'You are {{name}}.', 'x') },
      { weight: 1, arbitrary: maxLength <= 100_000 ? longest : fc.constant('x') },
    )
  }

  function object(schema: JsonObject): fc.Arbitrary<JsonValue> {
    const properties = (schema['properties'] ?? {}) as Record<string, JsonObject>
    const required = (schema['required'] ?? []) as string[]
    const names = Object.keys(properties)
    if (names.length === 0) {
      const value = fc.jsonValue({ maxDepth: 1 }) as fc.Arbitrary<JsonValue>
      const [member = null] = Object.values((schema['patternProperties'] ?? {}) as Record<string, JsonObject>)
      return fc.dictionary(fc.constantFrom('name', 'a', 'é', 'key.with.dots'), member ? valid(member) : value, {
        maxKeys: 3,
      })
    }
    // Few at a time: a body with a value in each of its thirty fields is refused for one of them.
    const optional = names.filter((name) => !required.includes(name))
    return fc
      .subarray(optional, { maxLength: Math.min(optional.length, 5) })
      .chain((some) =>
        fc.record(
          Object.fromEntries([...required, ...some].map((name) => [name, valid(properties[name] ?? {}, name)])),
          { noNullPrototype: true },
        ),
      )
  }

  return { valid }
}

/** An arbitrary for a field that is known by its name. */
export function knownField(name: string): fc.Arbitrary<JsonValue> | undefined {
  // Names of fields are hostile too: `__proto__` has a value in any object.
  if (Object.hasOwn(ID_FIELDS, name)) return id(ID_FIELDS[name] as string)
  return Object.hasOwn(KNOWN_FIELDS, name) ? KNOWN_FIELDS[name] : undefined
}

/** Mostly an id of the caller's own organization, sometimes one of the other, and sometimes none at all. */
export function id(kind: string): fc.Arbitrary<string> {
  return fc.oneof(
    { weight: 20, arbitrary: fc.nat(1_000).map((n) => idOf(kind, 'own', n)) },
    { weight: 2, arbitrary: fc.nat(1_000).map((n) => idOf(kind, 'foreign', n)) },
    { weight: 1, arbitrary: fc.uuid() },
  )
}

type Change = { at: number; how: 'replace' | 'add' | 'remove'; value: JsonValue }

/** One to three changes that make a valid value one that is nearly so. */
export const changes: fc.Arbitrary<Change[]> = fc.array(
  fc.record({
    at: fc.nat(10_000),
    how: fc.constantFrom('replace', 'replace', 'replace', 'add', 'remove'),
    value: fc.constantFrom(...HOSTILE_VALUES),
  }),
  { minLength: 1, maxLength: 3 },
)

/** `value` with `changes` made somewhere inside it. */
export function change(value: JsonValue, list: readonly Change[]): JsonValue {
  return list.reduce((changed: JsonValue, { at, how, value: other }) => {
    const copy = structuredClone(changed)
    const places = placesIn(copy)
    const place = places[at % Math.max(1, places.length)]
    if (!place) return other
    const [holder, name] = place
    if (how === 'remove') delete holder[name]
    else if (how === 'replace') holder[name] = other
    else holder[`unknown-${at % 7}`] = other
    return copy
  }, value)
}

/** Every place in a value where another could stand. */
function placesIn(value: JsonValue): [holder: Record<string, JsonValue>, name: string][] {
  if (typeof value !== 'object' || value === null) return []
  const holder = value as Record<string, JsonValue>
  return Object.keys(holder).flatMap(
    (name) => [[holder, name], ...placesIn(holder[name] as JsonValue)] as const,
  ) as never
}

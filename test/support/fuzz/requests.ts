import fc from 'fast-check'
import type { JsonValue } from '../../../server/src/lib/json.ts'
import type { Operation, Parameter } from './document.ts'
import { change, changes, type createValues, HOSTILE_TEXTS, idOf, knownField } from './values.ts'

/** Who sends it: one of two organizations, with a key of some kind. */
export type Sender = {
  organization: 0 | 1
  key: 'all' | 'bearer' | 'reader' | 'writer' | 'scoreless' | 'revoked' | 'expired' | 'unknown' | 'none' | 'odd'
}

/** A request before its ids are filled in: markers stand for them. */
export type Draft = {
  operation: Operation
  sender: Sender
  method: string
  /** Path and query, percent-encoded but for markers. */
  target: string
  headers: Record<string, string>
  /** As text with markers; bytes where it is a file. */
  body: string | Buffer | null
}

type Values = ReturnType<typeof createValues>

const sender: fc.Arbitrary<Sender> = fc.record({
  organization: fc.constantFrom(0, 1),
  key: fc.oneof(
    { weight: 24, arbitrary: fc.constantFrom('all', 'bearer') },
    { weight: 6, arbitrary: fc.constantFrom('reader', 'writer', 'scoreless') },
    { weight: 3, arbitrary: fc.constantFrom('revoked', 'expired', 'unknown', 'none', 'odd') },
  ),
})

const hostileText = fc.constantFrom(...HOSTILE_TEXTS.filter((text) => text.length < 3_000))

/** Encoded for a path or a query; bytes that are no UTF-8 and escapes that are none now and then. */
const encoded = (text: string) =>
  encodeURIComponent(text.toWellFormed()).replaceAll(
    /%40id%3A([\w%-]*?)%40/g,
    (_all, rest: string) => `@id:${decodeURIComponent(rest)}@`,
  )
const brokenEscapes = fc.constantFrom('%ff', '%', '%zz', '%ed%a0%80', '%c0%ae%c0%ae', '%2e%2e%2f', '..%2f', '%00')

function pathOf(values: Values, operation: Operation): fc.Arbitrary<string> {
  const parameters = operation.parameters.filter((one) => one.in === 'path')
  const segment = ({ name, schema }: Parameter) => {
    const known = name === 'name' ? fc.constantFrom('KEY', 'OTHER') : null
    const good = known ?? knownField(name) ?? values.valid(schema, name)
    return fc.oneof(
      { weight: 40, arbitrary: good.map((value) => encoded(String(value))) },
      { weight: 1, arbitrary: hostileText.map(encoded) },
      { weight: 1, arbitrary: brokenEscapes },
    )
  }
  const segments = fc.tuple(...parameters.map(segment))
  const around = fc.tuple(
    fc.oneof(
      { weight: 8, arbitrary: fc.constant('') },
      { weight: 2, arbitrary: fc.constantFrom('/api', '/app') },
      fc.constant('/api/app'),
    ),
    fc.oneof({ weight: 40, arbitrary: fc.constant('') }, fc.constantFrom('/', '//', '/.', '/x', ';a=b', '%20')),
  )
  const made = fc.tuple(segments, around).map(([texts, [prefix, end]]) => {
    const path = parameters.reduce(
      (path, { name }, i) => path.replace(`{${name}}`, () => texts[i] ?? ''),
      operation.path,
    )
    return prefix + path + end
  })
  // Nobody guesses a signature: half of these are links that an answer had.
  if (operation.path.startsWith('/transcripts/')) return fc.oneof(made, fc.constant(idOf('transcript', 'own', 0)))
  return made
}

function queryOf(values: Values, operation: Operation): fc.Arbitrary<string> {
  const parameters = operation.parameters.filter((one) => one.in === 'query')
  const names = [...parameters.map(({ name }) => name), 'unknown', '__proto__', 'a[b]', 'metadata.key', 'metadata.']
  const pair = fc.constantFrom(...names).chain((name) => {
    const schema = parameters.find((one) => one.name === name)?.schema ?? {}
    return fc
      .oneof(
        { weight: 6, arbitrary: values.valid(schema, name).map((value) => encoded(String(value))) },
        { weight: 1, arbitrary: hostileText.map(encoded) },
        { weight: 1, arbitrary: brokenEscapes },
      )
      .map((value) => `${encoded(name)}=${value}`)
  })
  const required = parameters.filter((one) => one.required)
  const given = fc.tuple(
    ...required.map(({ name, schema }) => values.valid(schema, name).map((v) => `${name}=${encoded(String(v))}`)),
  )
  return fc
    .tuple(
      fc.oneof({ weight: 12, arbitrary: given }, { weight: 1, arbitrary: fc.constant([]) }),
      fc.oneof({ weight: 8, arbitrary: fc.constant([]) }, { weight: 4, arbitrary: fc.array(pair, { maxLength: 3 }) }),
      fc.oneof({ weight: 20, arbitrary: fc.constant('') }, fc.constantFrom('&&=&', '?', `x=${'y'.repeat(3_000)}`, '%')),
    )
    .map(([first, more, odd]) => {
      const query = [...first, ...more, ...(odd === '' ? [] : [odd])].join('&')
      return query === '' ? '' : `?${query}`
    })
}

const JSON_TYPES = [
  'application/json',
  'application/json; charset=utf-8',
  'text/json',
  'application/*+json',
  'application/json; utf-8',
]
const ODD_TYPES = [
  'text/plain',
  'multipart/form-data; boundary=x',
  'application/x-www-form-urlencoded',
  'application/xml',
  'é',
  ';',
  'a'.repeat(5_000),
]

const odd: fc.Arbitrary<Record<string, string>> = fc.constantFrom<Record<string, string>>(
  ...[{}, { accept: 'text/event-stream' }, { accept: 'image/png' }, { accept: '' }, { 'accept-encoding': 'gzip, br' }],
  ...[
    { 'idempotency-key': 'one' },
    { 'idempotency-key': 'two' },
    { 'idempotency-key': '' },
    { 'idempotency-key': 'x'.repeat(300) },
  ],
  ...[{ 'idempotency-key': '\u00ff\u00fe' }, { 'x-request-id': 'mine' }, { 'x-request-id': 'x'.repeat(129) }],
  ...[
    { 'x-request-id': '\u00e9\t<b>' },
    { 'last-event-id': 'nonsense' },
    { 'last-event-id': `${idOf('runId', 'own', 1)}:0` },
  ],
  ...[{ origin: 'https://evil.example' }, { range: 'bytes=0-1' }, { 'if-none-match': '*' }, { te: 'trailers' }],
  ...[{ 'x-forwarded-for': '127.0.0.1', 'x-forwarded-proto': 'javascript' }, { 'x-forwarded-host': 'evil.example' }],
  ...[{ 'x-http-method-override': 'DELETE' }, { cookie: 'a=b' }, { expect: '100-continue' }, { upgrade: 'h2c' }],
)

/** Names that JSON gives a meaning and JavaScript another: they stand in the text only. */
const smuggled = fc.constantFrom(
  '"__proto__":{"isSecret":true},',
  '"constructor":{"prototype":{}},',
  '"a":1e400,',
  '"a":-0,',
  '',
)

function bodyOf(values: Values, operation: Operation): fc.Arbitrary<{ body: Draft['body']; type: string | null }> {
  const [first] = Object.entries(operation.body)
  if (!first) {
    const usual = { weight: 10, arbitrary: fc.constant({ body: null, type: null }) }
    return fc.oneof(
      usual,
      fc.constantFrom('{}', '[]', 'x', '{"a":1}').map((body) => ({ body, type: 'application/json' })),
    )
  }
  const [type, schema] = first
  if (type !== 'application/json') return fileOf(Object.keys(operation.body))
  const valid = values.valid(schema)
  const textOf = (value: JsonValue) => JSON.stringify(value) ?? 'null'
  const texts = fc.oneof(
    { weight: 10, arbitrary: valid.map(textOf) },
    { weight: 8, arbitrary: fc.tuple(valid, changes).map(([value, list]) => textOf(change(value, list))) },
    {
      weight: 2,
      arbitrary: fc.tuple(valid, smuggled).map(([value, more]) => textOf(value).replace('{', () => `{${more}`)),
    },
    {
      weight: 1,
      arbitrary: fc.constantFrom(
        '',
        ' ',
        '{',
        '{}',
        '[]',
        'null',
        '"x"',
        '1',
        '{"a":1,}',
        '{"a":\u0001}',
        '[{}]',
        '{"a":"\\ud800"}',
      ),
    },
    { weight: 1, arbitrary: fc.tuple(valid, fc.nat(1_000)).map(([value, at]) => textOf(value).slice(0, at)) },
  )
  const types = fc.oneof(
    { weight: 20, arbitrary: fc.constantFrom(...JSON_TYPES) },
    { weight: 1, arbitrary: fc.constantFrom(...ODD_TYPES) },
  )
  const json = fc.record({ body: texts, type: types })
  const bytes = fc
    .uint8Array({ maxLength: 200 })
    .map((array) => ({ body: Buffer.from(array), type: 'application/json' }))
  const tooLarge = fc.constant({ body: Buffer.alloc(1_100_000, ' '), type: 'application/json' })
  return fc.oneof({ weight: 60, arbitrary: json }, { weight: 2, arbitrary: bytes }, { weight: 1, arbitrary: tooLarge })
}

const PNG = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==',
  'base64',
)

function fileOf(types: string[]): fc.Arbitrary<{ body: Buffer; type: string }> {
  const bytes = fc.oneof(
    fc.constantFrom(
      PNG,
      Buffer.from('{"a":[1,2]}'),
      Buffer.from('some text'),
      Buffer.from('a,b\n1,2'),
      Buffer.alloc(0),
    ),
    fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array)),
    fc.constantFrom('['.repeat(20_000), '%PDF-1.7\n', '\xff\xd8\xff').map((text) => Buffer.from(text, 'latin1')),
  )
  const type = fc.oneof({ weight: 8, arbitrary: fc.constantFrom(...types) }, fc.constantFrom(...ODD_TYPES))
  return fc.record({ body: bytes, type })
}

/** Requests for all operations of a document: valid ones, ones that are nearly so, and hostile ones. */
export function createRequests(operations: readonly Operation[], values: Values): fc.Arbitrary<Draft> {
  const requestOf = (operation: Operation): fc.Arbitrary<Draft> =>
    fc
      .record({
        sender,
        path: pathOf(values, operation),
        query: queryOf(values, operation),
        content: bodyOf(values, operation),
        more: fc.oneof({ weight: 3, arbitrary: fc.constant({}) }, { weight: 2, arbitrary: odd }),
        method: fc.oneof(
          { weight: 24, arbitrary: fc.constant(operation.method) },
          {
            weight: 1,
            arbitrary: fc.constantFrom('GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD', 'OPTIONS', 'TRACE', 'PURGE'),
          },
        ),
      })
      .map(({ sender, path, query, content, more, method }) => ({
        operation,
        sender,
        method,
        body: content.body,
        // A link has its query already.
        target: path.startsWith('/') ? path + query : path,
        headers: { ...(content.type !== null && { 'content-type': content.type }), ...more },
      }))
  // What takes things away comes seldom, or there would be nothing left to ask for.
  const weighted = operations.flatMap((operation) =>
    Array.from({ length: operation.method === 'DELETE' ? 1 : operation.method === 'POST' ? 4 : 3 }, () => operation),
  )
  return fc.constantFrom(...weighted).chain(requestOf)
}

import { createRequire } from 'node:module'
import type { Ajv, AnySchema, Options, ValidateFunction } from 'ajv'
import type { FastifyServerOptions } from 'fastify'
import { newAjv } from '../../lib/ajv.ts'
import { isUuid } from '../../lib/ids.ts'
import { hasAtMost } from '../../lib/json.ts'

type Compilers = NonNullable<NonNullable<FastifyServerOptions['schemaController']>['compilersFactory']>
/** `httpPart` is for requests. */
type RoutePart = { schema: unknown; httpPart?: string }
type Serialize = (answer: unknown) => string

const require = createRequire(import.meta.url)

/**
 * Compiles the schemas of routes: for Ajv, which checks requests, and for fast-json-stringify, which writes answers.
 * Each is compiled when a request first needs it, in one to three milliseconds. All at the start were 150 ms and 15 MB,
 * most of it for routes that nobody calls.
 */
export function createSchemaCompilers(): Compilers {
  // Bodies are taken as they are; paths and query strings are text, so there "10" counts as a number.
  const strict = onFirstUse(() => createAjv({ coerceTypes: false, allErrors: false }))
  const coercing = onFirstUse(() => createAjv({ coerceTypes: true, allErrors: false }))
  const strictToTheEnd = onFirstUse(() => createAjv({ coerceTypes: false, allErrors: true }))
  const coercingToTheEnd = onFirstUse(() => createAjv({ coerceTypes: true, allErrors: true }))
  // Many routes share the schemas of their errors.
  const serializers = new Map<unknown, Serialize>()

  const validatorFor = ({ schema, httpPart }: RoutePart) =>
    validateLater(
      () => (httpPart === 'body' ? strict() : coercing()).compile(schema as AnySchema),
      () => (httpPart === 'body' ? strictToTheEnd() : coercingToTheEnd()).compile(schema as AnySchema),
    )

  const serializerFor = ({ schema }: RoutePart) => {
    const serialize = serializers.get(schema) ?? serializeLater(schema)
    serializers.set(schema, serialize)
    return serialize
  }

  // Fastify's types only know the factories of its own packages, which say more than it asks for.
  return { buildValidator: () => validatorFor, buildSerializer: () => serializerFor } as unknown as Compilers
}

/** Values of a request of which every wrong one is named; of a larger request it is the first. */
const MOST_VALUES = 1_000

/**
 * Checks up to the first error; only what is wrong and small is checked again to the end, so that each field is named. A
 * body of 1 MB may have 340,000 wrong items.
 */
function validateLater(compile: () => ValidateFunction, compileToTheEnd: () => ValidateFunction) {
  const toFirstError = onFirstUse(compile)
  const toTheEnd = onFirstUse(compileToTheEnd)
  function validate(value: unknown): boolean {
    const isValid = toFirstError()(value)
    validate.errors = toFirstError().errors
    if (!isValid && hasAtMost(MOST_VALUES, value)) {
      toTheEnd()(value)
      validate.errors = toTheEnd().errors
    }
    return isValid
  }
  validate.errors = null as ValidateFunction['errors']
  return validate
}

function serializeLater(schema: unknown): Serialize {
  const compiled = onFirstUse(() => {
    const compile = require('fast-json-stringify') as typeof import('fast-json-stringify')
    return compile(schema as Parameters<typeof compile>[0]) as Serialize
  })
  return (answer) => compiled()(answer)
}

function onFirstUse<T>(make: () => T): () => T {
  let made: T | undefined
  return () => {
    made ??= make()
    return made
  }
}

function createAjv(how: { coerceTypes: boolean; allErrors: boolean }): Ajv {
  const ajv = newAjv({
    ...how,
    strict: false,
    useDefaults: true,
    // Our own schemas are checked by a test (route-schemas.test.ts): here that takes longer than to compile them. And
    // optimizing what is compiled takes twice the time, for checks that are no faster (20 ns a message).
    meta: false,
    validateSchema: false,
    code: { optimize: false },
    // Lengths count UTF-16 units, like the languages most clients are written in. The option works and warns of its age.
    unicode: false,
    logger: false,
  } as Options)
  ajv.addFormat('uuid', isUuid)
  ajv.addFormat('date-time', isTime)
  return ajv
}

/** ISO 8601 as clients write it: the time and its offset may be missing. A day that there is not is no time. */
function isTime(text: string): boolean {
  const [, year, month, day] = /^(\d{4})-(\d\d)-(\d\d)([T ][\d:.]+(Z|[+-]\d\d:?\d\d)?)?$/i.exec(text) ?? []
  if (day === undefined || Number.isNaN(Date.parse(text))) return false
  // Date.parse() makes the 3rd of March of the 31st of February.
  return Number(day) <= new Date(Date.UTC(Number(year), Number(month), 0)).getUTCDate()
}

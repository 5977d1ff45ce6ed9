import { Ajv, type ErrorObject } from 'ajv'
import type { FastifyInstance } from 'fastify'
import type { ErrorDetail } from '../errors.ts'
import { isUuid } from '../lib/ids.ts'

/**
 * Validates requests by their schemas. Bodies are taken as they are; paths and query strings are text, so there
 * "10" counts as a number.
 */
export function validateRequests(app: FastifyInstance): void {
  const strict = createAjv(false)
  const coercing = createAjv(true)
  app.setValidatorCompiler(({ schema, httpPart }) =>
    (httpPart === 'body' ? strict : coercing).compile(schema as object),
  )
}

function createAjv(coerceTypes: boolean): Ajv {
  const ajv = new Ajv({
    coerceTypes,
    allErrors: true,
    strict: false,
    useDefaults: true,
    // Lengths count UTF-16 units, like the languages most clients are written in. The option works and warns of its age.
    unicode: false,
    logger: false,
  } as ConstructorParameters<typeof Ajv>[0])
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

/** One detail for each field that is wrong, in words a client's developer understands. */
export function detailsOf(errors: readonly Partial<ErrorObject>[], part: string): ErrorDetail[] {
  return errors.slice(0, 50).map((error) => ({ field: fieldOf(error, part), issue: issueOf(error) }))
}

function fieldOf(error: Partial<ErrorObject>, part: string): string {
  const path = (error.instancePath ?? '')
    .split('/')
    .slice(1)
    .map((step) => step.replaceAll('~1', '/').replaceAll('~0', '~'))
  const missing = error.params?.['missingProperty']
  if (typeof missing === 'string') path.push(missing)
  return path.length === 0 ? part : path.join('.')
}

function issueOf(error: Partial<ErrorObject>): string {
  const params = error.params ?? {}
  switch (error.keyword) {
    case 'required':
      return 'is required'
    case 'type':
      return `must be ${[params['type']].flat().join(' or ')}`
    case 'format':
      return params['format'] === 'uuid' ? 'must be a UUID' : `must be a ${params['format']}`
    case 'pattern':
      return params['pattern'] === '\\S' ? 'must not be only white space' : 'has the wrong form'
    case 'enum':
      return `must be one of ${(params['allowedValues'] as unknown[]).join(', ')}`
    case 'minLength':
      return params['limit'] === 1 ? 'must not be empty' : `must have at least ${params['limit']} characters`
    case 'maxLength':
      return `must have at most ${params['limit']} characters`
    default:
      return error.message ?? 'is invalid'
  }
}

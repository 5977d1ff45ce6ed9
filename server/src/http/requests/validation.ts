import type { ErrorObject } from 'ajv'
import type { ErrorDetail } from '../../errors.ts'

/** Fields that are named in one answer. */
export const MOST_DETAILS = 10

/** One detail for each field that is wrong, up to ten, in words a client's developer understands. */
export function detailsOf(errors: readonly Partial<ErrorObject>[], part: string): ErrorDetail[] {
  return errors.slice(0, MOST_DETAILS).map((error) => ({ field: fieldOf(error, part), issue: issueOf(error) }))
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

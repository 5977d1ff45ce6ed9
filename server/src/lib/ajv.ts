import { createRequire } from 'node:module'
import type { Ajv, Options } from 'ajv'

const require = createRequire(import.meta.url)

/** An Ajv of its own. The package is loaded with the first: a server that has had no request yet needs none. */
export function newAjv(options: Options): Ajv {
  const { Ajv } = require('ajv') as typeof import('ajv')
  return new Ajv(options)
}

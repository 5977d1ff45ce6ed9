import { createHash } from 'node:crypto'
import { badField } from '../../errors.ts'
import { isUuid } from '../../lib/ids.ts'
import { isJsonObject } from '../../lib/json.ts'

/** 1 to 255 printable ASCII characters. */
const KEY = /^[\x20-\x7e]{1,255}$/

/** The key that a request names. Throws 400 for one that cannot be a key. */
export function readKey(header: string | string[]): string {
  // Node puts a header that came twice into one text, so a list cannot come from it.
  if (typeof header !== 'string' || !KEY.test(header)) {
    throw badField('Idempotency-Key', 'must have 1 to 255 printable ASCII characters')
  }
  return header
}

export type Act = {
  method: string
  /** The pattern of the route, such as `/personas/:personaId`. */
  route: string
  /** A name that several routes share because they are ways to do the same. */
  operation: string | undefined
  /** What stands in the path. */
  parameters: Readonly<Record<string, unknown>>
}

/** What is done, and to what: the same text for all ways to ask for the same act. */
export function operationOf({ method, route, operation, parameters }: Act): string {
  // A PUT beside a PATCH is another name for it.
  const name = operation ?? `${method === 'PUT' ? 'PATCH' : method} ${route}`
  const values = Object.entries(parameters).map(([key, value]) => [key, isId(value) ? value.toLowerCase() : value])
  return `${name} ${canonicalJson(Object.fromEntries(values))}`
}

function isId(value: unknown): value is string {
  return typeof value === 'string' && isUuid(value)
}

/** JSON with the members of every object in one order, so that equal values are equal texts. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, item: unknown) =>
    isJsonObject(item) ? Object.fromEntries(Object.entries(item).sort(([a], [b]) => (a < b ? -1 : 1))) : item,
  )
}

/** SHA-256 of a text, in base64url (43 characters). */
export function hash(text: string): string {
  return createHash('sha256').update(text).digest('base64url')
}

/** Under which id the request with this key to do this is kept. */
export function claimIdOf(operation: string, key: string): string {
  return hash(JSON.stringify([operation, key]))
}

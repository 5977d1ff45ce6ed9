import { badField } from '../../errors.ts'
import { Type } from '../../lib/schema.ts'

const Name = Type.String({ minLength: 1, maxLength: 256 })

/** A user of a caller as a step of a path. */
export const UserPath = Type.Object({ externalUserId: Name })

/** The same user as a parameter, for names that no path can hold: clients and proxies resolve `.` and `..`, and some undo `%2F`. */
export const UserQuery = Type.Object({ externalUserId: Name })

/** Whom a request names, in its path or as a parameter. */
export function nameOfUser({ params, query }: { params: unknown; query: unknown }): string {
  return ({ ...(query as object), ...(params as object) } as { externalUserId: string }).externalUserId
}

/**
 * A name for a user of a caller, or null. Throws 400 for `.` and `..`: whoever asks to erase them in a path would ask for
 * something else, because clients resolve these steps before they send anything. Those that are there already are
 * reached by the parameter.
 */
export function checkUserName(name: string | null | undefined): string | null {
  if (name === '.' || name === '..') throw badField('externalUserId', `cannot be ${name}`)
  return name || null
}

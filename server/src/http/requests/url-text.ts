import type { FastifyInstance, FastifyRequest } from 'fastify'
import { badField } from '../../errors.ts'

/**
 * Refuses text in paths and query strings that no database and no JSON can hold: NUL characters, which PostgreSQL does
 * not store, and bytes that are not UTF-8, which the query parser would pass on as they stand.
 */
export function refuseUnreadableText(app: FastifyInstance): void {
  app.addHook('preHandler', (request, _reply, done) => {
    if (!request.is404 && request.url.includes('%')) checkText(request)
    done()
  })
}

/** Throws 400. */
function checkText(request: FastifyRequest): void {
  const query = request.url.slice(request.url.indexOf('?') + 1)
  if (query !== request.url && !isUtf8(query)) throw badField('query', 'must be percent-encoded UTF-8')
  for (const part of [request.params, request.query] as Record<string, unknown>[]) {
    for (const [name, value] of Object.entries(part)) {
      if (name.includes('\0')) throw badField('query', 'must not have names with NUL characters')
      if ([value].flat().some((text) => typeof text === 'string' && text.includes('\0'))) {
        throw badField(name, 'must not contain NUL characters')
      }
    }
  }
}

function isUtf8(percentEncoded: string): boolean {
  try {
    decodeURIComponent(percentEncoded)
    return true
  } catch {
    return false
  }
}

import type { FastifyReply } from 'fastify'

/**
 * What keeps a browser from making more of an answer than it is, on everything that is served: it runs nothing, is
 * no page of a frame, is taken for what `content-type` says, and is kept by nobody. The routes whose answers may be more
 * set a header of these anew.
 */
export const SAFE_HEADERS: Readonly<Record<string, string>> = {
  'cache-control': 'private, no-store',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'; sandbox",
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
}

const HEADERS = Object.entries(SAFE_HEADERS)

export function setSafeHeaders(reply: FastifyReply): void {
  for (const [name, value] of HEADERS) reply.header(name, value)
}

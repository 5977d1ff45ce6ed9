import { createHash } from 'node:crypto'
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import type { FastifyInstance, FastifyReply, FastifyRequest, RouteOptions } from 'fastify'

export const OPENAPI_PATH = '/openapi.json'

const PAGE_PATH = '/docs'

/** Where the page has files; the initializer and the index are among those of `static`. */
const PAGE_PATHS = [PAGE_PATH, '/docs/json', '/docs/yaml', '/docs/static/*']

/** Whoever asks again is told that nothing has changed. */
const CACHING = 'public, max-age=60'

/**
 * What the page needs: files of its own, and the styles that it writes into its elements. What is tried out in it goes to
 * this server.
 */
const PAGE_POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; " +
  "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

/** A file as it goes out: as it is, and packed. */
type Document = { type: string; etag: string; plain: Buffer; packed: Buffer }

const pack = promisify(gzip)

/**
 * Describes the routes that are registered after it: `/openapi.json`, and a page to browse it at `/docs`. What makes them
 * is loaded when somebody first asks: 150 files, which few servers ever need. Each file is made and packed once.
 * `address` is where clients reach the server; null for wherever they found the document.
 */
export function documentRoutes(app: FastifyInstance, version: string, address: string | null = null): void {
  const routes: RouteOptions[] = []
  app.addHook('onRoute', (route) => {
    routes.push(route)
  })
  let made: Promise<FastifyInstance> | null = null
  const documents = () => {
    made ??= import('./openapi-documents.ts').then(({ createDocuments }) => createDocuments(routes, version, address))
    return made
  }
  /** Only files that there are: their number is that of the page's. */
  const known = new Map<string, Promise<Document | null>>()

  function find(path: string): Promise<Document | null> {
    const before = known.get(path)
    if (before) return before
    const made = make(path)
    known.set(path, made)
    const forget = () => known.delete(path)
    made.then((document) => document ?? forget(), forget)
    return made
  }

  async function make(path: string): Promise<Document | null> {
    if (path === OPENAPI_PATH) {
      const text = JSON.stringify((await documents()).swagger())
      return toDocument('application/json; charset=utf-8', Buffer.from(text))
    }
    const { statusCode, headers, rawPayload } = await (await documents()).inject({ method: 'GET', url: path })
    if (statusCode !== 200) return null
    // Without a slash at its end the page names its files from the root, which is another's behind a proxy with a path.
    const file =
      path === PAGE_PATH ? Buffer.from(String(rawPayload).replaceAll(`"${PAGE_PATH}/`, '"docs/')) : rawPayload
    return toDocument(String(headers['content-type']), file)
  }

  async function show(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const path = request.url.split('?')[0] ?? ''
    const document = await find(path)
    if (!document) {
      reply.callNotFound()
      return reply
    }
    reply.header('cache-control', CACHING).header('etag', document.etag).header('vary', 'accept-encoding')
    if (document.type.startsWith('text/html')) reply.header('content-security-policy', PAGE_POLICY)
    if (request.headers['if-none-match'] === document.etag) return reply.code(304).send()
    reply.type(document.type)
    const isPacked = /\bgzip\b/.test(request.headers['accept-encoding'] ?? '')
    if (isPacked) reply.header('content-encoding', 'gzip')
    return reply.send(isPacked ? document.packed : document.plain)
  }

  // The page is files of its own; a key would only keep people from reading how to use one.
  const options = { config: { isPublic: true }, schema: { hide: true } as object }
  for (const path of [OPENAPI_PATH, ...PAGE_PATHS]) app.get(path, options, show)
}

async function toDocument(type: string, plain: Buffer): Promise<Document> {
  const etag = `"${createHash('sha256').update(plain).digest('base64url').slice(0, 22)}"`
  return { type, etag, plain, packed: await pack(plain) }
}

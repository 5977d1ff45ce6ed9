import type { FastifyInstance, FastifyReply, FastifyRequest, RouteOptions } from 'fastify'
import type { ApiExamples } from './named-schemas.ts'
import { answerDocument, createDocument, type StoredDocument } from './stored-document.ts'

export const OPENAPI_PATH = '/openapi.json'

const PAGE_PATH = '/docs'

/** The page in its two addresses, for it names its files beside itself, and what it is made from. */
const PAGES = [PAGE_PATH, '/docs/', '/docs/json', '/docs/yaml']
/** The only files of the page that are served. */
const PAGE_FILES = [
  'favicon-16x16.png',
  'favicon-32x32.png',
  'index.css',
  'swagger-initializer.js',
  'swagger-ui-bundle.js',
  'swagger-ui-standalone-preset.js',
  'swagger-ui.css',
].map((name) => `/docs/static/${name}`)

/** Whoever asks again is told that nothing has changed. */
const CACHING = 'public, max-age=60'

/**
 * What the page needs: files of its own, and the styles that it writes into its elements. What is tried out in it goes to
 * this server.
 */
const PAGE_POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; " +
  "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

export type DocumentOptions = {
  version: string
  /** Where clients reach the server; null for wherever they found the document. */
  address: string | null
  /** What bodies and answers look like. */
  loadExamples: () => Promise<ApiExamples>
}

/**
 * Describes the routes that are registered after it: `/openapi.json`, and a page to browse it at `/docs`. What makes them
 * is loaded when somebody first asks: 150 files, which few servers ever need. Each is made and packed once.
 */
export function documentRoutes(app: FastifyInstance, { version, address, loadExamples }: DocumentOptions): void {
  const routes: RouteOptions[] = []
  app.addHook('onRoute', (route) => {
    routes.push(route)
  })
  let made: Promise<FastifyInstance> | null = null
  const documents = () => {
    made ??= Promise.all([import('./openapi-documents.ts'), loadExamples()]).then(([{ createDocuments }, examples]) =>
      createDocuments(routes, version, address, examples),
    )
    return made
  }

  const stored = new Map<string, Promise<StoredDocument>>()
  const find = (path: string, make: () => Promise<StoredDocument>) => {
    const known = stored.get(path) ?? make()
    stored.set(path, known)
    return known
  }
  const makeFromPage = async (path: string): Promise<StoredDocument> => {
    const { rawPayload, headers } = await (await documents()).inject(path)
    // Without a slash at its end the page names its files from the root, which is another's behind a proxy with a path.
    const file =
      path === PAGE_PATH ? Buffer.from(String(rawPayload).replaceAll(`"${PAGE_PATH}/`, '"docs/')) : rawPayload
    return createDocument(file, `${headers['content-type']}`, CACHING)
  }

  const options = { config: { isPublic: true }, schema: { hide: true } as object }
  app.get(OPENAPI_PATH, options, async (request, reply) => {
    const make = async () =>
      createDocument(
        Buffer.from(JSON.stringify((await documents()).swagger())),
        'application/json; charset=utf-8',
        CACHING,
      )
    return answerDocument(request, reply, await find(OPENAPI_PATH, make))
  })
  // The page is files of its own; a key would only keep people from reading how to use one.
  const showPage = async (request: FastifyRequest, reply: FastifyReply) => {
    const path = request.url.split('?', 1)[0] as string
    // Exactly these, so that there are no other ways to write them, nor more of them to keep.
    if (!PAGES.includes(path) && !PAGE_FILES.includes(path)) return reply.callNotFound()
    reply.header('content-security-policy', PAGE_POLICY)
    return answerDocument(request, reply, await find(path, () => makeFromPage(path)))
  }
  for (const path of ['/docs', '/docs/json', '/docs/yaml', '/docs/static/*']) app.get(path, options, showPage)
}

import type { FastifyInstance, FastifyReply, FastifyRequest, RouteOptions } from 'fastify'

export const OPENAPI_PATH = '/openapi.json'

/** Where the page has files; the initializer and the index are among those of `static`. */
const PAGE_PATHS = ['/docs', '/docs/json', '/docs/yaml', '/docs/static/*']

/** Headers that are about a connection and not about what is answered on it. */
const OF_CONNECTIONS = /^(connection|date|keep-alive|transfer-encoding)$/

/**
 * Describes the routes that are registered after it: `/openapi.json`, and a page to browse it at `/docs`. What makes them
 * is loaded when somebody first asks: 150 files, which few servers ever need.
 */
export function documentRoutes(app: FastifyInstance, version: string): void {
  const routes: RouteOptions[] = []
  app.addHook('onRoute', (route) => {
    routes.push(route)
  })
  let made: Promise<FastifyInstance> | null = null
  const documents = () => {
    made ??= import('./openapi-documents.ts').then(({ createDocuments }) => createDocuments(routes, version))
    return made
  }

  const options = { config: { isPublic: true }, schema: { hide: true } as object }
  app.get(OPENAPI_PATH, options, async () => (await documents()).swagger())
  // The page is files of its own; a key would only keep people from reading how to use one.
  const showPage = async (request: FastifyRequest, reply: FastifyReply) => {
    const { url, headers } = request
    const page = await (await documents()).inject({ method: 'GET', url, headers })
    if (page.statusCode === 404) return reply.callNotFound()
    for (const [name, value] of Object.entries(page.headers)) {
      if (value !== undefined && !OF_CONNECTIONS.test(name)) reply.header(name, value)
    }
    return reply.code(page.statusCode).send(page.rawPayload.length > 0 ? page.rawPayload : undefined)
  }
  for (const path of PAGE_PATHS) app.get(path, options, showPage)
}

import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest, type RouteOptions } from 'fastify'
import type { JsonObject } from '../../lib/json.ts'
import type { Scope } from '../requests/caller.ts'
import { type ApiExamples, hoistNamedSchemas } from './named-schemas.ts'
import { documentFailures, shareFailures } from './openapi-failures.ts'
import { createSchemaCompilers } from './schema-compilers.ts'

/** The name, in the place where the page would show the logo of the package that makes it. */
const LOGO = Buffer.from(
  '<svg xmlns="http://www.w3.org/2000/svg" width="150" height="40" viewBox="0 0 150 40">' +
    '<text x="4" y="28" fill="#fff" font-family="Georgia, serif" font-size="26">Dramatis</text></svg>',
)

/**
 * A server beside the real one that never listens: it has the same routes, without what they do, and so can make the
 * OpenAPI document (`swagger()`) and the page at `/docs` that shows it (`inject()`).
 */
export async function createDocuments(
  routes: readonly RouteOptions[],
  version: string,
  address: string | null,
  examples: ApiExamples,
): Promise<FastifyInstance> {
  const documents = Fastify({
    routerOptions: { ignoreTrailingSlash: true },
    exposeHeadRoutes: false,
    schemaController: { compilersFactory: createSchemaCompilers() },
  })
  await documents.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Dramatis',
        version,
        description: 'The self-hosted home for AI personas. Every path also answers under `/api` and `/app`.',
        license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      },
      servers: [{ url: address ?? '/' }],
      components: {
        securitySchemes: {
          ApiKeyAuth: { type: 'apiKey', in: 'header', name: 'x-hl-api-key' },
          BearerAuth: { type: 'http', scheme: 'bearer' },
        },
      },
      security: [{ ApiKeyAuth: [] }, { BearerAuth: [] }],
    },
    transformObject: (document) =>
      'openapiObject' in document
        ? shareFailures(hoistNamedSchemas(document.openapiObject as unknown as JsonObject, examples))
        : (document.swaggerObject as unknown as JsonObject),
  })
  for (const { method, url, schema, config } of routes) {
    if (method === 'HEAD' || isHidden(schema)) continue
    const described = {
      ...(config?.isPublic ? { security: [] } : config?.scope && { security: needing(config.scope) }),
      ...schema,
      response: documentFailures({ method, config: config ?? {}, schema: schema ?? {} }),
    }
    documents.route({ method, url, schema: described, config: config ?? {}, handler: answerNothing })
  }
  await documents.register(swaggerUi, {
    routePrefix: '/docs',
    uiConfig: { deepLinking: true },
    theme: { title: 'Dramatis API' },
    logo: { type: 'image/svg+xml', content: LOGO },
  })
  await documents.ready()
  return documents
}

function answerNothing(_request: FastifyRequest, reply: FastifyReply): void {
  reply.callNotFound()
}

/** A key by one of two headers, with this scope. */
function needing(scope: Scope) {
  return [{ ApiKeyAuth: [scope] }, { BearerAuth: [scope] }]
}

function isHidden(schema: RouteOptions['schema']): boolean {
  return (schema as { hide?: boolean } | undefined)?.hide === true
}

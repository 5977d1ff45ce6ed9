import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import type { FastifyInstance } from 'fastify'
import type { JsonObject } from '../lib/json.ts'
import { hoistNamedSchemas } from './named-schemas.ts'

export const OPENAPI_PATH = '/openapi.json'

/** Describes the routes that are registered after it: `/openapi.json`, and a page to browse it at `/docs`. */
export async function documentRoutes(app: FastifyInstance, version: string): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Dramatis',
        version,
        description: 'The self-hosted home for AI personas. Every path also answers under `/api` and `/app`.',
        license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      },
      servers: [{ url: '/' }],
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
        ? hoistNamedSchemas(document.openapiObject as unknown as JsonObject)
        : (document.swaggerObject as unknown as JsonObject),
  })
  await app.register(async (docs) => {
    // The page is files of its own; a key would only keep people from reading how to use one.
    docs.addHook('onRoute', (route) => {
      route.config = { ...route.config, isPublic: true }
    })
    await docs.register(swaggerUi, { routePrefix: '/docs', uiConfig: { deepLinking: true } })
  })
  app.get(OPENAPI_PATH, { config: { isPublic: true }, schema: { hide: true } as object }, async () => app.swagger())
}

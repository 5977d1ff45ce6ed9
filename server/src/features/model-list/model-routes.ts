import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { Caller } from '../../http/requests/caller.ts'
import { answers, Named, NullableText } from '../../http/schemas.ts'
import { Type } from '../../lib/schema.ts'
import type { ModelRegistry } from '../../models/providers/registry.ts'

const Listing = Named('AiSystemListing', {
  aiSystem: Type.String(),
  label: Type.String(),
  isUsable: Type.Boolean(),
  why: Type.Unsafe<string | null>({
    type: ['string', 'null'],
    description: 'What is in the way. Addresses and folders of the inside only for keys with `admin:read`.',
  }),
  defaultModel: NullableText(),
  models: Type.Array(Type.String()),
})

const Models = Named('Models', {
  default: Type.Object({ aiSystem: Type.String(), model: Type.String(), why: Type.String() }),
  data: Type.Array(Listing),
})

/** `GET /models`: which AI systems can be used, and why the others cannot. */
export function modelRoutes(registry: Pick<ModelRegistry, 'list' | 'resolveDefault'>): FastifyPluginAsyncTypebox {
  return async (app) => {
    app.get(
      '/models',
      { schema: { tags: ['Models'], summary: 'List the AI systems', response: answers(Models) } },
      async ({ caller }) => {
        const [data, usedByDefault] = await Promise.all([registry.list(), registry.resolveDefault()])
        return { default: forCaller(caller, usedByDefault), data: data.map((listing) => forCaller(caller, listing)) }
      },
    )
  }
}

/** Where the servers of the inside are concerns only who looks after this one. */
function forCaller<T extends { why: string | null; whyInside: T['why'] }>(caller: Caller, described: T) {
  const { whyInside, ...plain } = described
  return caller.scopes.has('admin:read') ? { ...plain, why: whyInside } : plain
}

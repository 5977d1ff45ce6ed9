import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { answers, answersNothing, Named, Timestamp } from '../../http/schemas.ts'
import { Type } from '../../lib/schema.ts'
import { HOST_PATTERN } from './secret-hosts.ts'
import type { SecretService } from './secret-service.ts'

const tags = ['Secrets']
const Path = Type.Object({ name: Type.String({ pattern: '^[a-zA-Z][a-zA-Z0-9_.-]{0,63}$' }) })
const Hosts = Type.Unsafe<string[] | null>({
  type: ['array', 'null'],
  items: { type: 'string', maxLength: 260, pattern: HOST_PATTERN },
  minItems: 1,
  maxItems: 32,
  description:
    'Where it may be sent: hosts such as `api.example.com`, `*.example.com` for all below, `api.example.com:8443` for one port; null for any.',
})
const PutSecretRequest = Named('PutSecretRequest', {
  value: Type.String({
    minLength: 1,
    maxLength: 8_192,
    // It goes into a header, where nothing else may stand.
    pattern: '^[\\x20-\\x7e\\x80-\\xff]+$',
    description: 'Never shown again.',
  }),
  hosts: Type.Optional(Hosts),
})
const SecretDto = Named('Secret', {
  name: Type.String(),
  hosts: Hosts,
  isReadable: Type.Boolean({
    description: 'False where another `DRAMATIS_SECRET_KEY` has encrypted it, or none is set.',
  }),
  createdAt: Timestamp,
  modifiedAt: Timestamp,
})

/** `/secrets`: for keys with the scope admin. What a secret holds never leaves the server but in a tool's request. */
export function secretRoutes(secrets: SecretService): FastifyPluginAsyncTypebox {
  return async (app) => {
    app.put(
      '/secrets/:name',
      {
        config: { scope: 'admin:write' },
        schema: {
          tags,
          params: Path,
          body: PutSecretRequest,
          summary: 'Keep a secret for the headers of tools',
          description:
            'Replaces one with the same name. Without `hosts` a new one may go to any host, and one that is there to those it has. Needs `DRAMATIS_SECRET_KEY`.',
          response: answersNothing('unprocessable_entity'),
        },
      },
      async (request, reply) => {
        const { value, hosts } = request.body
        await secrets.put(request.caller.organizationId, request.params.name, value, hosts)
        return reply.code(204).send(null)
      },
    )

    app.get(
      '/secrets',
      {
        config: { scope: 'admin:read' },
        schema: {
          tags,
          summary: 'List the names of the secrets',
          response: answers(Named('SecretList', { data: Type.Array(SecretDto) })),
        },
      },
      async (request) => {
        const list = await secrets.list(request.caller.organizationId)
        const toIso = (at: number) => new Date(at).toISOString()
        return {
          data: list.map(({ name, hosts, isReadable, createdAt, modifiedAt }) => ({
            name,
            hosts,
            isReadable,
            createdAt: toIso(createdAt),
            modifiedAt: toIso(modifiedAt),
          })),
        }
      },
    )

    app.delete(
      '/secrets/:name',
      {
        config: { scope: 'admin:write' },
        schema: { tags, params: Path, summary: 'Delete a secret', response: answersNothing('not_found') },
      },
      async (request, reply) => {
        await secrets.remove(request.caller.organizationId, request.params.name)
        return reply.code(204).send(null)
      },
    )
  }
}

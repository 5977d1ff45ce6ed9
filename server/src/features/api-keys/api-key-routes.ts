import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { AppError } from '../../errors.ts'
import { type Caller, MOST_DAILY_TOKENS, SCOPES, type Scope } from '../../http/requests/caller.ts'
import { answers, answersNothing, Named, Nullable, NullableTimestamp, Timestamp, Uuid } from '../../http/schemas.ts'
import { Type } from '../../lib/schema.ts'
import type { ApiKey, ApiKeyService } from './api-key-service.ts'
import { MOST_GRACE_MS } from './key-format.ts'

const ScopeName = Type.Enum([...SCOPES])

const DailyTokens = Nullable<number>(
  Type.Integer({
    minimum: 1,
    maximum: MOST_DAILY_TOKENS,
    description: 'Tokens that the key may use in a day (UTC), input and output together; null for no limit.',
  }),
)

const ApiKeyDto = Named('ApiKey', {
  id: Uuid,
  name: Type.String(),
  prefix: Type.String({ description: 'The beginning of the key, to tell it from others.' }),
  scopes: Type.Array(ScopeName),
  dailyTokens: DailyTokens,
  tokensUsedToday: Nullable<number>(
    Type.Integer({ description: 'What it has used of that today; null for a key without a limit.' }),
  ),
  createdAt: Timestamp,
  expiresAt: NullableTimestamp,
  revokedAt: NullableTimestamp,
  lastUsedAt: NullableTimestamp,
})
const CreatedApiKeyDto = Named('CreatedApiKey', {
  ...ApiKeyDto.properties,
  key: Nullable(
    Type.String({ description: 'The key itself. It is shown this once: null where the request is sent again.' }),
  ),
})
const CreateApiKeyRequest = Named('CreateApiKeyRequest', {
  name: Type.String({ minLength: 1, maxLength: 100, pattern: '\\S' }),
  scopes: Type.Optional(Type.Array(ScopeName, { minItems: 1, maxItems: SCOPES.length })),
  expiresAt: Type.Optional(NullableTimestamp),
  dailyTokens: Type.Optional(DailyTokens),
})

const RotateApiKeyRequest = Named('RotateApiKeyRequest', {
  graceSeconds: Type.Optional(
    Type.Integer({
      minimum: 0,
      maximum: MOST_GRACE_MS / 1_000,
      description: 'Seconds that the old key goes on to work; 0 by default.',
    }),
  ),
})

/** `/api-keys`: for keys with the scope admin. */
export function apiKeyRoutes(apiKeys: ApiKeyService): FastifyPluginAsyncTypebox {
  return async (app) => {
    app.post(
      '/api-keys',
      {
        config: { scope: 'admin:write', idempotency: { redact: (answer) => ({ ...answer, key: null }) } },
        schema: {
          tags: ['API keys'],
          summary: 'Create an API key',
          description:
            'Without `scopes` the key may do what yours may, but not administer. It cannot get more than yours has.',
          body: CreateApiKeyRequest,
          response: answers(CreatedApiKeyDto),
        },
      },
      async (request) => {
        const { caller, body } = request
        const scopes = body.scopes ?? [...caller.scopes].filter((scope) => !scope.startsWith('admin:'))
        checkScopes(caller, scopes)
        const expiresAt = body.expiresAt ? Date.parse(body.expiresAt) : null
        const created = await apiKeys.create(caller.organizationId, {
          name: body.name,
          scopes: scopes as Scope[],
          expiresAt,
          dailyTokens: body.dailyTokens ?? null,
        })
        return { ...toDto(created.apiKey), key: created.secret }
      },
    )

    app.post(
      '/api-keys/:id/rotate',
      {
        config: { scope: 'admin:write', idempotency: { redact: (answer) => ({ ...answer, key: null }) } },
        schema: {
          tags: ['API keys'],
          summary: 'Put a new API key in the place of one',
          description:
            'The new one has the name, the scopes, the budget and the expiry of the old one, which ends at once, or when `graceSeconds` are over. It cannot have scopes that yours lacks.',
          params: Type.Object({ id: Uuid }),
          body: RotateApiKeyRequest,
          response: answers(CreatedApiKeyDto, 'not_found'),
        },
      },
      async ({ caller, params, body }) => {
        const id = params.id.toLowerCase()
        // Who could rotate a key that may do more would have one that may.
        checkScopes(caller, await apiKeys.scopesOf(caller.organizationId, id))
        const { apiKey, secret } = await apiKeys.rotate(caller.organizationId, id, (body.graceSeconds ?? 0) * 1_000)
        return { ...toDto(apiKey), key: secret }
      },
    )

    app.get(
      '/api-keys',
      {
        config: { scope: 'admin:read' },
        schema: {
          tags: ['API keys'],
          summary: 'List API keys, revoked ones included',
          response: answers(Named('ApiKeyList', { data: Type.Array(ApiKeyDto) })),
        },
      },
      async (request) => ({ data: (await apiKeys.list(request.caller.organizationId)).map(toDto) }),
    )

    app.delete(
      '/api-keys/:id',
      {
        config: { scope: 'admin:write' },
        schema: {
          tags: ['API keys'],
          summary: 'Revoke an API key',
          params: Type.Object({ id: Uuid }),
          response: answersNothing('not_found'),
        },
      },
      async (request, reply) => {
        await apiKeys.revoke(request.caller.organizationId, request.params.id.toLowerCase())
        return reply.code(204).send(null)
      },
    )
  }
}

function checkScopes(caller: Pick<Caller, 'scopes'>, scopes: readonly string[]): void {
  const excess = scopes.filter((scope) => !caller.scopes.has(scope as Scope))
  if (excess.length > 0) throw new AppError('forbidden', `your key lacks ${excess.join(', ')} and cannot give it away`)
}

function toDto(key: ApiKey) {
  const date = (at: number | null) => (at === null ? null : new Date(at).toISOString())
  return {
    ...key,
    createdAt: new Date(key.createdAt).toISOString(),
    expiresAt: date(key.expiresAt),
    revokedAt: date(key.revokedAt),
    lastUsedAt: date(key.lastUsedAt),
  }
}

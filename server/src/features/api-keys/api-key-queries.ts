import { type Parameters, prepareRead, prepareWrite } from '../../storage/prepare.ts'

export const insertApiKey = prepareWrite(
  (
    db,
    p: Parameters<{
      organizationId: string
      id: string
      name: string
      prefix: string
      hash: string
      scopes: string
      dailyTokens: number | null
      createdAt: number
      expiresAt: number | null
    }>,
  ) =>
    db.insertInto('api_key').values({
      organization_id: p('organizationId'),
      id: p('id'),
      name: p('name'),
      prefix: p('prefix'),
      hash: p('hash'),
      scopes: p('scopes'),
      daily_tokens: p('dailyTokens'),
      created_at: p('createdAt'),
      expires_at: p('expiresAt'),
    }),
)

export const selectApiKeyByHash = prepareRead((db, p: Parameters<{ hash: string }>) =>
  db
    .selectFrom('api_key')
    // Every request reads one, so no more of it than is needed.
    .select(['organization_id', 'id', 'prefix', 'scopes', 'daily_tokens', 'expires_at', 'revoked_at', 'last_used_at'])
    .where('hash', '=', p('hash')),
)

export const selectApiKeys = prepareRead((db, p: Parameters<{ organizationId: string }>) =>
  db.selectFrom('api_key').selectAll().where('organization_id', '=', p('organizationId')).orderBy('id'),
)

export const revokeApiKey = prepareWrite(
  (db, p: Parameters<{ organizationId: string; id: string; at: number }>) =>
    db
      .updateTable('api_key')
      .set({ revoked_at: p('at') })
      .where('organization_id', '=', p('organizationId'))
      .where('id', '=', p('id'))
      .where('revoked_at', 'is', null),
  { guard: 'api_key_is_valid' },
)

export const touchApiKey = prepareWrite((db, p: Parameters<{ organizationId: string; id: string; at: number }>) =>
  db
    .updateTable('api_key')
    .set({ last_used_at: p('at') })
    .where('organization_id', '=', p('organizationId'))
    .where('id', '=', p('id')),
)

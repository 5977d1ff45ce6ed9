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

export const selectApiKey = prepareRead((db, p: Parameters<{ organizationId: string; id: string }>) =>
  db
    .selectFrom('api_key')
    .select(['name', 'scopes', 'daily_tokens', 'expires_at', 'revoked_at'])
    .where('organization_id', '=', p('organizationId'))
    .where('id', '=', p('id')),
)

/** Gives a key an end that is still as it was read: `knownEnd` is its end then, 0 for none. */
export const endApiKey = prepareWrite(
  (db, p: Parameters<{ organizationId: string; id: string; knownEnd: number; expiresAt: number }>) =>
    db
      .updateTable('api_key')
      .set({ expires_at: p('expiresAt') })
      .where('organization_id', '=', p('organizationId'))
      .where('id', '=', p('id'))
      .where('revoked_at', 'is', null)
      .where((eb) => eb(eb.fn.coalesce('expires_at', eb.lit(0)), '=', p('knownEnd'))),
  { guard: 'api_key_is_as_read' },
)

export const selectApiKeyEnd = prepareRead((db, p: Parameters<{ organizationId: string; id: string }>) =>
  db
    .selectFrom('api_key')
    .select(['expires_at', 'revoked_at'])
    .where('organization_id', '=', p('organizationId'))
    .where('id', '=', p('id')),
)

/** The keys of an organization, with what each has used of the budget of `day` (UTC, `2026-01-31`). */
export const selectApiKeys = prepareRead((db, p: Parameters<{ organizationId: string; day: string }>) =>
  db
    .selectFrom('api_key')
    .leftJoin('token_budget', (join) =>
      join
        .onRef('token_budget.organization_id', '=', 'api_key.organization_id')
        .onRef('token_budget.api_key_id', '=', 'api_key.id')
        .on('token_budget.day', '=', p('day')),
    )
    .selectAll('api_key')
    .select('token_budget.used')
    .where('api_key.organization_id', '=', p('organizationId'))
    .orderBy('api_key.id'),
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

import { AppError, badField } from '../../errors.ts'
import { type Authenticate, type Caller, SCOPES, type Scope } from '../../http/requests/caller.ts'
import type { Clock } from '../../lib/clock.ts'
import type { IdSource } from '../../lib/ids.ts'
import { type Database, type Statement, writeOr } from '../../storage/database.ts'
import {
  endApiKey,
  insertApiKey,
  revokeApiKey,
  selectApiKey,
  selectApiKeyByHash,
  selectApiKeyEnd,
  selectApiKeys,
  touchApiKey,
} from './api-key-queries.ts'
import { generateKey, hashKey, prefixOf } from './key-format.ts'

export type ApiKey = {
  id: string
  name: string
  prefix: string
  scopes: Scope[]
  /** Tokens that the key may use in a day (UTC); null for no limit. */
  dailyTokens: number | null
  /** What it has used today of its budget; null without one. */
  tokensUsedToday: number | null
  createdAt: number
  expiresAt: number | null
  revokedAt: number | null
  lastUsedAt: number | null
}

export type NewApiKey = {
  name: string
  scopes: readonly Scope[]
  expiresAt: number | null
  /** Absent for no limit. */
  dailyTokens?: number | null
}
export type ApiKeyService = ReturnType<typeof createApiKeyService>

/** How often a key's last use is written down, in milliseconds: once a request would be a write for every read. */
const LAST_USED_STEP_MS = 60_000

/** API keys: only their hashes are kept, and they are looked up for every request, so that a revocation counts at once. */
export function createApiKeyService(deps: { database: Database; ids: IdSource; clock: Clock }) {
  const { database, ids, clock } = deps
  /** What the texts in the table say: there are as many as there are ways to choose scopes, and few are used. */
  const knownScopes = new Map<string, ReadonlySet<Scope>>()

  function scopesOf(text: string): ReadonlySet<Scope> {
    const known = knownScopes.get(text) ?? new Set(parseScopes(text))
    knownScopes.set(text, known)
    return known
  }

  /** The statement that stores a key, for a batch. */
  function prepare(organizationId: string, secret: string, key: NewApiKey): { apiKey: ApiKey; statement: Statement } {
    const apiKey: ApiKey = {
      id: ids.next(),
      name: key.name,
      prefix: prefixOf(secret),
      scopes: SCOPES.filter((scope) => key.scopes.includes(scope)),
      dailyTokens: key.dailyTokens ?? null,
      tokensUsedToday: key.dailyTokens ? 0 : null,
      createdAt: clock(),
      expiresAt: key.expiresAt,
      revokedAt: null,
      lastUsedAt: null,
    }
    const statement = insertApiKey(database, {
      ...apiKey,
      organizationId,
      hash: hashKey(secret),
      scopes: JSON.stringify(apiKey.scopes),
    })
    return { apiKey, statement }
  }

  /** Looks since the event loop last came round: requests that had arrived by then share one for the same key. */
  const found = new Map<string, Promise<Caller | null>>()

  const authenticate: Authenticate = (secret) => {
    const known = found.get(secret)
    if (known) return known
    const caller = lookUp(secret)
    if (found.size === 0) setImmediate(() => found.clear())
    found.set(secret, caller)
    return caller
  }

  async function lookUp(secret: string): Promise<Caller | null> {
    const now = clock()
    const row = (await selectApiKeyByHash(database, { hash: hashKey(secret) }))[0]
    if (!row || !isGood(row, now)) return null
    if (row.last_used_at === null || now - row.last_used_at >= LAST_USED_STEP_MS) {
      // Not awaited, and a failure changes nothing: no request should wait for, or fall over, a statistic.
      database
        .write([touchApiKey(database, { organizationId: row.organization_id, id: row.id, at: now })])
        .catch(() => {})
    }
    return {
      organizationId: row.organization_id,
      keyId: row.id,
      keyPrefix: row.prefix,
      scopes: scopesOf(row.scopes),
      dailyTokens: row.daily_tokens,
    }
  }

  async function findValid(organizationId: string, id: string) {
    const row = (await selectApiKey(database, { organizationId, id }))[0]
    if (!row || !isGood(row, clock())) throw noValidKey()
    return row
  }

  return {
    authenticate,
    prepare,

    /** Makes a key. The secret is in the answer and nowhere else. Throws 400 when `expiresAt` has passed. */
    async create(organizationId: string, key: NewApiKey): Promise<{ apiKey: ApiKey; secret: string }> {
      if (key.expiresAt !== null && key.expiresAt <= clock()) throw badField('expiresAt', 'must be in the future')
      const secret = generateKey()
      const { apiKey, statement } = prepare(organizationId, secret, key)
      await database.write([statement])
      return { apiKey, secret }
    },

    /** Whether this very secret has ever been a key here, revoked ones included. */
    async isKnown(secret: string): Promise<boolean> {
      return (await selectApiKeyByHash(database, { hash: hashKey(secret) })).length > 0
    },

    /** Whether a key of the organization can be used now. */
    async isValid(organizationId: string, id: string): Promise<boolean> {
      const row = (await selectApiKeyEnd(database, { organizationId, id }))[0]
      return row !== undefined && isGood(row, clock())
    },

    async list(organizationId: string): Promise<ApiKey[]> {
      const day = new Date(clock()).toISOString().slice(0, 10)
      const rows = await selectApiKeys(database, { organizationId, day })
      return rows.map((row) => ({
        id: row.id,
        name: row.name,
        prefix: row.prefix,
        scopes: parseScopes(row.scopes),
        dailyTokens: row.daily_tokens,
        tokensUsedToday: row.daily_tokens === null ? null : (row.used ?? 0),
        createdAt: row.created_at,
        expiresAt: row.expires_at,
        revokedAt: row.revoked_at,
        lastUsedAt: row.last_used_at,
      }))
    },

    /** What a key may do. Throws 404 when there is no valid key with this id. */
    async scopesOf(organizationId: string, id: string): Promise<Scope[]> {
      return parseScopes((await findValid(organizationId, id)).scopes)
    },

    /**
     * Makes a key with the name, scopes, budget and expiry of another, which ends `graceMs` from now, or when it would
     * have anyway. The secret is in the answer and nowhere else. Throws 404 when there is no valid key with this id.
     */
    async rotate(
      organizationId: string,
      id: string,
      graceMs: number,
    ): Promise<{ apiKey: ApiKey; secret: string; formerExpiresAt: number }> {
      const former = await findValid(organizationId, id)
      const now = clock()
      const formerExpiresAt = Math.min(now + graceMs, former.expires_at ?? Number.POSITIVE_INFINITY)
      const secret = generateKey()
      const { apiKey, statement } = prepare(organizationId, secret, {
        name: former.name,
        scopes: parseScopes(former.scopes),
        expiresAt: former.expires_at,
        dailyTokens: former.daily_tokens,
      })
      await writeOr(
        database,
        // Of several that have read it as it was, one gets through, whatever their clocks say.
        [
          endApiKey(database, { organizationId, id, knownEnd: former.expires_at ?? 0, expiresAt: formerExpiresAt }),
          statement,
        ],
        noValidKey,
      )
      found.clear()
      return { apiKey, secret, formerExpiresAt }
    },

    /** Ends a key: the next request with it is refused. Throws 404 when there is no valid key with this id. */
    async revoke(organizationId: string, id: string): Promise<void> {
      await writeOr(database, [revokeApiKey(database, { organizationId, id, at: clock() })], noValidKey)
      found.clear()
    },
  }
}

function noValidKey(): AppError {
  return new AppError('not_found', 'there is no valid API key with this id')
}

function isGood(key: { revoked_at: number | null; expires_at: number | null }, now: number): boolean {
  return key.revoked_at === null && (key.expires_at === null || key.expires_at > now)
}

function parseScopes(text: string): Scope[] {
  const names: unknown = JSON.parse(text)
  return SCOPES.filter((scope) => Array.isArray(names) && names.includes(scope))
}

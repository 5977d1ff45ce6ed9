export const AREAS = ['conversations', 'personas', 'feedback', 'reports', 'admin'] as const
export type Area = (typeof AREAS)[number]

/** What a key may do in one area, such as `conversations:write`. Writing does not include reading. */
export type Scope = `${Area}:${'read' | 'write'}` | 'tools:write'

/** All eleven scopes. */
export const SCOPES: readonly Scope[] = [
  ...AREAS.flatMap((area): Scope[] => [`${area}:read`, `${area}:write`]),
  // There is nothing to read: tools stand in the configurations of personas and conversations.
  'tools:write',
]

/** The largest daily token budget: sums of such numbers are still exact in JavaScript. */
export const MOST_DAILY_TOKENS = 1_000_000_000_000

/** Who is asking: known from the API key and from nothing else. */
export type Caller = {
  organizationId: string
  keyId: string
  /** The beginning of the key, which may stand in a log. */
  keyPrefix: string
  scopes: ReadonlySet<Scope>
  /** Tokens that the key may use in a day; null for no limit. */
  dailyTokens: number | null
}

/** Finds out whose key this is; null for one that is unknown, revoked or expired. */
export type Authenticate = (key: string) => Promise<Caller | null>

declare module 'fastify' {
  interface FastifyRequest {
    /** Set before any handler runs, except on public routes. */
    caller: Caller
  }
  interface FastifyContextConfig {
    /** What the key must be allowed to do. A route that names neither this nor `isPublic` needs just a valid key. */
    scope?: Scope
    /** Needs no key. */
    isPublic?: boolean
  }
}

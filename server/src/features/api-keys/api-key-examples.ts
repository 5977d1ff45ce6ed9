/** A key for an application: shown in the document, and sent to a server by a test. */
export const CREATE_KEY_EXAMPLE = {
  name: 'web shop',
  scopes: ['conversations:read', 'conversations:write'],
  expiresAt: '2099-12-31T00:00:00.000Z',
  dailyTokens: 1_000_000,
}

export const ROTATE_KEY_EXAMPLE = { graceSeconds: 86_400 }

const KEY = {
  id: '0199b1c5-1000-7000-8409-3214ea69abfd',
  name: 'web shop',
  prefix: 'dram_EXAMP',
  scopes: ['conversations:read', 'conversations:write'],
  dailyTokens: 1_000_000,
  tokensUsedToday: 0,
  createdAt: '2026-01-05T09:30:00.000Z',
  expiresAt: '2099-12-31T00:00:00.000Z',
  revokedAt: null,
  lastUsedAt: null,
}

export const KEYS_EXAMPLE = { data: [KEY] }

export const CREATED_KEY_EXAMPLE = { ...KEY, key: 'dram_EXAMPLE-that-opens-nothing-anywhere-000000' }

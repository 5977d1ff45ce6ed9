import { MOST_GRACE_MS } from '../../features/api-keys/key-format.ts'
import { MOST_DAILY_TOKENS, SCOPES, type Scope } from '../../http/requests/caller.ts'
import { UsageError } from '../command.ts'

const DAY_MS = 86_400_000

/** `30d`, a date (its first moment in UTC), or a time with a zone; milliseconds since the epoch. Throws {@link UsageError}. */
export function parseExpiry(text: string, now: number): number {
  const days = /^(\d{1,5})d$/.exec(text)?.[1]
  const at = days === undefined ? parseTime(text) : now + Number(days) * DAY_MS
  if (at === null)
    throw new UsageError(
      `--expires must be a date such as 2027-01-01 or a number of days such as 30d, and is "${text}"`,
    )
  if (at <= now) throw new UsageError(`--expires must be in the future, and is "${text}"`)
  return at
}

function parseTime(text: string): number | null {
  const isDate = /^\d{4}-\d\d-\d\d$/.test(text)
  if (!isDate && !/^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,3})?)?(Z|[+-]\d\d:\d\d)$/.test(text)) return null
  const at = Date.parse(text)
  // Date takes the 30th of February for the 2nd of March.
  const day = Date.parse(text.slice(0, 10))
  if (Number.isNaN(at) || Number.isNaN(day) || new Date(day).toISOString().slice(0, 10) !== text.slice(0, 10))
    return null
  return at
}

/** Scopes separated by commas, or `all`; without any, all that do not administer. Throws {@link UsageError}. */
export function parseScopes(text: string | undefined): Scope[] {
  if (text === undefined) return SCOPES.filter((scope) => !scope.startsWith('admin:'))
  if (text.trim() === 'all') return [...SCOPES]
  const names = text
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '')
  const unknown = names.find((name) => !SCOPES.some((scope) => scope === name))
  if (unknown !== undefined) throw new UsageError(`"${unknown}" is no scope: there are ${SCOPES.join(', ')}, and all`)
  if (names.length === 0) throw new UsageError('--scopes names no scope')
  return SCOPES.filter((scope) => names.includes(scope))
}

/** How many tokens a day, 1 to a million million; null without the option. Throws {@link UsageError}. */
export function parseDailyTokens(text: string | undefined): number | null {
  if (text === undefined) return null
  const tokens = Number(text)
  if (!/^\d{1,13}$/.test(text) || tokens < 1 || tokens > MOST_DAILY_TOKENS) {
    throw new UsageError(`--daily-tokens must be a whole number from 1 to ${MOST_DAILY_TOKENS}, and is "${text}"`)
  }
  return tokens
}

const UNITS_MS: Record<string, number> = { m: 60_000, h: 3_600_000, d: DAY_MS }

/** How long a key that was rotated goes on to work, in milliseconds; 0 without the option. Throws {@link UsageError}. */
export function parseGrace(text: string | undefined): number {
  if (text === undefined || text === '0') return 0
  const [, count = '', unit = ''] = /^(\d{1,6})([mhd])$/.exec(text) ?? []
  const graceMs = Number(count) * (UNITS_MS[unit] ?? Number.NaN)
  if (graceMs >= 0 && graceMs <= MOST_GRACE_MS) return graceMs
  throw new UsageError(`--grace must be a time such as 30m, 24h or 7d, at most 90d, and is "${text}"`)
}

/** A name as the API takes it: 1 to 100 UTF-16 units, and not only white space. Throws {@link UsageError}. */
export function parseName(text: string): string {
  if (text.trim() === '') throw new UsageError('NAME must not be empty')
  if (text.length > 100) throw new UsageError(`NAME must have at most 100 characters, and has ${text.length}`)
  return text
}

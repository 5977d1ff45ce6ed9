import { hash, randomBytes } from 'node:crypto'

const PREFIX_LENGTH = 10

/** Milliseconds that a key may go on to work beside the one that has taken its place. */
export const MOST_GRACE_MS = 90 * 86_400_000

/** A new key: 256 random bits behind a mark that secret scanners can look for. */
export function generateKey(): string {
  return `dram_${randomBytes(32).toString('base64url')}`
}

/** What is stored of a key. A plain SHA-256 is enough: nobody can guess 256 random bits, so nothing need be slow. */
export function hashKey(key: string): string {
  return hash('sha256', key, 'hex')
}

/** What may be shown of a key. */
export function prefixOf(key: string): string {
  return key.slice(0, PREFIX_LENGTH)
}

import { createHmac } from 'node:crypto'
import { seal, unseal } from './seal.ts'

/** What secrets are encrypted with (32 bytes; null: none can be kept), and what they were encrypted with before. */
export type SecretKeys = { current: Buffer | null; previous: readonly Buffer[] }

/** A secret as it is stored. */
export type SealedSecret = { organizationId: string; name: string; sealed: string }

/** Stands in the place of a key's id where a secret was stored before that was written down. */
export const UNMARKED = '-'

/** Tells keys apart, and says nothing about them. */
export function keyIdOf(key: Buffer): string {
  return createHmac('sha256', key).update('id of a key for secrets').digest('hex').slice(0, 16)
}

/** A value as it stands in the database: it opens only for this name of this organization. */
export function sealSecret(key: Buffer, secret: { organizationId: string; name: string; value: string }): string {
  return seal(key, contextOf(secret), secret.value)
}

/** What a secret holds, and whether it took a previous key; null when no key opens it. */
export function openSecret(
  { current, previous }: SecretKeys,
  secret: SealedSecret,
): { value: string; isPrevious: boolean } | null {
  for (const key of [current ?? [], previous].flat()) {
    const value = unseal(key, contextOf(secret), secret.sealed)
    if (value !== null) return { value, isPrevious: key !== current }
  }
  return null
}

function contextOf({ organizationId, name }: { organizationId: string; name: string }): string {
  return `${organizationId} ${name}`
}

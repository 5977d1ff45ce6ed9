import { createHmac, timingSafeEqual } from 'node:crypto'
import { AppError } from '../../errors.ts'

/** What a link opens, and the id of the API key that asked for it. */
export type Transcript = { organizationId: string; conversationId: string; keyId: string }

/** Milliseconds for which a link opens a transcript. */
export const LINK_MS = 24 * 3_600_000

/** The path and query under which a transcript can be read without a key until `expiresAt`. */
export function transcriptPath(secret: string, transcript: Transcript, expiresAt: number): string {
  const { organizationId, conversationId, keyId } = transcript
  const expires = Math.ceil(expiresAt / 1_000)
  const signature = sign(secret, transcript, expires).toString('base64url')
  return `/transcripts/${organizationId}/${conversationId}?key=${keyId}&expires=${expires}&signature=${signature}`
}

/** Throws 401 when the signature is none of ours, or the link has expired. */
export function checkTranscriptLink(
  secret: string,
  transcript: Transcript,
  link: { expires: number; signature: string },
  now: number,
): void {
  const given = Buffer.from(link.signature, 'base64url')
  const expected = sign(secret, transcript, link.expires)
  const isWhole = given.length === expected.length && given.toString('base64url') === link.signature
  if (!isWhole || !timingSafeEqual(given, expected)) throw refusal()
  if (now > link.expires * 1_000) {
    throw new AppError('unauthorized', 'the link has expired: reading the conversation gives a new one')
  }
}

/** The same for a signature that is wrong and an organization that is not there. */
export function refusal(): AppError {
  return new AppError('unauthorized', 'the link is not signed by this server')
}

/**
 * HMAC-SHA-256 (RFC 2104), which cannot be prolonged as a bare hash can, under a secret that each organization has for itself.
 * It also signs continuation tokens: of those the first part is a list, and here it is a word.
 */
function sign(secret: string, { organizationId, conversationId, keyId }: Transcript, expires: number): Buffer {
  return createHmac('sha256', secret)
    .update(JSON.stringify(['transcript', organizationId, conversationId, keyId, expires]))
    .digest()
}

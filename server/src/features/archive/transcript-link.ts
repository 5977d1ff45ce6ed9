import { createHmac, timingSafeEqual } from 'node:crypto'
import { AppError } from '../../errors.ts'

export type Transcript = { organizationId: string; conversationId: string }

/** Milliseconds for which a link opens a transcript. */
export const LINK_MS = 24 * 3_600_000

/** The path and query under which a transcript can be read without a key until `expiresAt`. */
export function transcriptPath(secret: string, transcript: Transcript, expiresAt: number): string {
  const { organizationId, conversationId } = transcript
  const expires = Math.ceil(expiresAt / 1_000)
  const signature = sign(secret, transcript, expires).toString('base64url')
  return `/transcripts/${organizationId}/${conversationId}?expires=${expires}&signature=${signature}`
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
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) throw refusal()
  if (now > link.expires * 1_000) {
    throw new AppError('unauthorized', 'the link has expired: reading the conversation gives a new one')
  }
}

/** The same for a signature that is wrong and an organization that is not there. */
export function refusal(): AppError {
  return new AppError('unauthorized', 'the link is not signed by this server')
}

function sign(secret: string, { organizationId, conversationId }: Transcript, expires: number): Buffer {
  return createHmac('sha256', secret)
    .update(JSON.stringify(['transcript', organizationId, conversationId, expires]))
    .digest()
}

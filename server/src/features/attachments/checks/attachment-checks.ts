import { AppError, badField } from '../../../errors.ts'
import type { NewFile } from '../attachment.ts'
import { isJson } from './json-check.ts'
import { findMismatch, isSupported, MEDIA_TYPES } from './media-type.ts'

/** Longest name, in UTF-16 units. */
export const MAX_NAME_LENGTH = 255

/** What no file may be called by: what breaks lines and headers, and what separates folders. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is meant.
const NOT_IN_NAMES = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069/\\]/

/**
 * Throws for a file that cannot be taken: 400 naming the field below `at` (empty for a file that is the body), 413 when it
 * is larger than `limit` bytes, 415 for a body of another type.
 */
export async function checkFile({ name, mediaType, bytes }: NewFile, at: string, limit: number): Promise<void> {
  const field = (member: string) => (at === '' ? member : `${at}.${member}`)
  if (name.trim() === '' || name.length > MAX_NAME_LENGTH || NOT_IN_NAMES.test(name)) {
    const issue = `must have 1 to ${MAX_NAME_LENGTH} characters, without slashes and control characters`
    throw badField(field('name'), issue)
  }
  if (!isSupported(mediaType)) {
    const issue = `must be one of ${MEDIA_TYPES.join(', ')}`
    if (at === '') throw new AppError('unsupported_media_type', `the content-type ${issue}`)
    throw badField(field('mediaType'), issue)
  }
  if (bytes.length > limit) {
    throw new AppError('payload_too_large', `a file may have at most ${limit} bytes`, {
      details: [{ field: field('data'), issue: `has ${bytes.length} bytes` }],
    })
  }
  const isBadJson = mediaType === 'application/json' && !(await isJson(bytes))
  const mismatch = findMismatch(mediaType, bytes) ?? (isBadJson ? 'is not valid JSON' : null)
  if (mismatch !== null) throw badField(at === '' ? 'body' : field('data'), mismatch)
}

import { isUtf8 } from 'node:buffer'

/** What a file may be. */
export const MEDIA_TYPES = [
  'image/png',
  'image/jpeg',
  'image/gif',
  'image/webp',
  'text/plain',
  'text/markdown',
  'text/csv',
  'application/json',
  'application/pdf',
] as const

/** The name of a media type without parameters, in lower case: `Text/Plain; charset=utf-8` is `text/plain`. */
export function plainMediaType(mediaType: string): string {
  const name = (mediaType.split(';')[0] ?? '').trim().toLowerCase()
  return name === 'image/jpg' ? 'image/jpeg' : name
}

export function isSupported(mediaType: string): boolean {
  return (MEDIA_TYPES as readonly string[]).includes(mediaType)
}

export function isText(mediaType: string): boolean {
  return mediaType.startsWith('text/') || mediaType === 'application/json'
}

/** How files of a type begin, a character for each byte. */
const BEGINNINGS: Readonly<Record<string, readonly string[]>> = {
  'image/png': ['\x89PNG\r\n\x1a\n'],
  'image/jpeg': ['\xff\xd8\xff'],
  'image/gif': ['GIF87a', 'GIF89a'],
}

/** Readers look for the beginning of a PDF file in so many bytes. */
const PDF_SEARCHED = 1_024

/** Why bytes cannot be a file of this type, as the end of a sentence; null when they can. Whether a JSON file is JSON, `json-check.ts` says. */
export function findMismatch(mediaType: string, bytes: Uint8Array): string | null {
  if (bytes.length === 0) return 'is empty'
  if (isText(mediaType)) return findBadText(bytes)
  return beginsRight(mediaType, Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength))
    ? null
    : `is not ${mediaType}: its first bytes are those of something else`
}

function findBadText(bytes: Uint8Array): string | null {
  if (!isUtf8(bytes)) return 'is not valid UTF-8'
  if (bytes.includes(0)) return 'contains a NUL character'
  return null
}

function beginsRight(mediaType: string, bytes: Buffer): boolean {
  if (mediaType === 'application/pdf') return bytes.subarray(0, PDF_SEARCHED).includes('%PDF-')
  if (mediaType === 'image/webp') {
    return bytes.toString('latin1', 0, 4) === 'RIFF' && bytes.toString('latin1', 8, 12) === 'WEBP'
  }
  return (BEGINNINGS[mediaType] ?? []).some((beginning) => bytes.toString('latin1', 0, beginning.length) === beginning)
}

/** The text of a text file, without a byte order mark. */
export function textOf(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes)
}

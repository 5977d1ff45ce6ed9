import type { Answer, Json, RunningApp } from './app.ts'

/** A picture of one pixel. */
export const PNG = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==',
  'base64',
)
export const GIF = Buffer.from('R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7', 'base64')
/** A PDF file with one empty page. */
export const PDF = Buffer.from(
  '%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n' +
    '3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n',
)

export type AttachmentOnTheWire = { attachmentId: string; name: string; mediaType: string; bytes: number }

/** A file as it stands in a body. */
export function inline(name: string, mediaType: string, bytes: Uint8Array | string): Json {
  return { name, mediaType, data: Buffer.from(bytes).toString('base64') }
}

/** Uploads a file as clients do: its bytes as they are. */
export async function upload(
  server: RunningApp,
  conversationId: string,
  file: { name?: string; type: string; bytes: Uint8Array | string },
  headers: Record<string, string> = {},
): Promise<Answer<AttachmentOnTheWire>> {
  const query = file.name === undefined ? '' : `?name=${encodeURIComponent(file.name)}`
  const response = await fetch(`${server.url}/conversations/${conversationId}/attachments${query}`, {
    method: 'POST',
    headers: { 'x-hl-api-key': server.config.apiKey ?? '', 'content-type': file.type, ...headers },
    body: Buffer.from(file.bytes),
  })
  const text = await response.text()
  return { status: response.status, headers: response.headers, body: JSON.parse(text), text }
}

import { isUtf8 } from 'node:buffer'
import { isJsonObject, type JsonObject } from '../../../lib/json.ts'
import type { HideSecrets } from '../hiding/hide-secrets.ts'
import { type ToolAnswer, ToolError } from '../server-tool.ts'
import { createResultImages } from './result-images.ts'

/** Parts of a result that are looked at. */
const MOST_PARTS = 1_000
/** UTF-16 units of an address, and of what is said of it. */
const LONGEST_ADDRESS = 2_000
const LONGEST_REMARK = 500

const GIVEN = 'given as a file'

/**
 * What the model gets to see: the texts, the addresses of resources with what is said of them, and a word about what is no
 * text. Images are given as files. Throws a {@link ToolError} with that for a result that is an error.
 */
export function toResult(result: object, hide: HideSecrets): ToolAnswer {
  const { content, structuredContent, isError } = result as Record<string, unknown>
  const all = Array.isArray(content) ? content : []
  const images = createResultImages()
  const parts = all
    .slice(0, MOST_PARTS)
    .filter(isShowable)
    .map((part) => describePart(part, images.take))
  if (all.length > MOST_PARTS) parts.push(`(${all.length - MOST_PARTS} more: not shown)`)
  const text = parts.length > 0 || structuredContent == null ? parts.join('\n') : JSON.stringify(structuredContent)
  const shown = hide(text)
  if (isError === true) throw new ToolError(shown === '' ? 'the tool failed.' : shown)
  return images.files.length === 0 ? shown : { content: shown, files: images.files }
}

function isShowable(part: unknown): part is JsonObject {
  return isJsonObject(part) && (part['type'] !== 'text' || typeof part['text'] === 'string')
}

type Take = (data: unknown) => boolean

function describePart(part: JsonObject, take: Take): string {
  const { type, text, resource, mimeType, data } = part
  if (type === 'text') return textIn(text)
  if (type === 'resource_link') return `(link to a resource: ${describeResource(part)})`
  if (isJsonObject(resource)) return describeEmbedded(resource, take)
  return `(${textIn(mimeType) || textIn(type) || 'unknown'}: ${take(data) ? GIVEN : 'not shown'})`
}

/** A resource that came with the result: what it says in full, behind where it is from. */
function describeEmbedded(resource: JsonObject, take: Take): string {
  const text = typeof resource['text'] === 'string' ? resource['text'] : textOfBlob(resource)
  const about = `(resource: ${describeResource(resource)}${text === null ? `; ${take(resource['blob']) ? GIVEN : 'not shown'}` : ''})`
  return text === null ? about : `${about}\n${text}`
}

function describeResource(resource: JsonObject): string {
  const { uri, name, title, mimeType, size, description } = resource
  const remarks = [title ?? name, mimeType, typeof size === 'number' ? `${size} bytes` : null, description]
  const said = remarks.map((remark) => textIn(remark).slice(0, LONGEST_REMARK)).filter((remark) => remark !== '')
  return [textIn(uri).slice(0, LONGEST_ADDRESS) || 'no address', ...said].join(', ')
}

/** Some servers send texts as bytes. Null for what is none. */
function textOfBlob({ blob, mimeType }: JsonObject): string | null {
  if (typeof blob !== 'string' || !/^text\/|[/+](json|xml|yaml)\b/i.test(textIn(mimeType))) return null
  const bytes = Buffer.from(blob, 'base64')
  return isUtf8(bytes) ? bytes.toString('utf8') : null
}

function textIn(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

import { isJsonObject, type JsonObject, type JsonValue } from '../../lib/json.ts'
import { pictureNote } from '../replies/picture-note.ts'

/** Levels of lists and parts that are looked into. */
const DEEPEST = 4

/**
 * The texts of a content: the text itself, or those of its parts in their order. A picture becomes a text that names it.
 * What is a thought, a reference, or unknown has none.
 */
export function textsOf(content: JsonValue | undefined, depth = 0): string[] {
  if (typeof content === 'string') return [content]
  if (depth > DEEPEST) return []
  if (Array.isArray(content)) return content.flatMap((part) => textsOf(part, depth + 1))
  return isJsonObject(content) ? textsOfPart(content, depth) : []
}

function textsOfPart(part: JsonObject, depth: number): string[] {
  const { type = 'text', text, refusal } = part
  if (typeof type === 'string' && type.includes('image')) {
    const url = urlIn(part.image_url) ?? urlIn(part.url) ?? urlIn(part.image)
    return url === null ? [] : [pictureNote(url)]
  }
  if (type === 'refusal') return typeof refusal === 'string' ? [refusal] : []
  if (type !== 'text' && type !== 'output_text' && type !== 'text_delta') return []
  // The Assistants API has the text itself one level below.
  return textsOf(isJsonObject(text) ? text.value : (text ?? part.content), depth + 1)
}

function urlIn(value: JsonValue | undefined): string | null {
  if (typeof value === 'string') return value
  return isJsonObject(value) && typeof value.url === 'string' ? value.url : null
}

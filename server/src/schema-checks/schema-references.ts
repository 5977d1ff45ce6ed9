import { isJsonObject, type JsonValue } from '../lib/json.ts'

/**
 * The schema that a reference within a document means: `#` the whole, `#/a/b` what stands there
 * (https://www.rfc-editor.org/rfc/rfc6901, section 6), `#name` what has that anchor. Undefined where there is none.
 */
export function findReferred(
  document: JsonValue,
  anchors: ReadonlyMap<string, JsonValue>,
  reference: string,
): JsonValue | undefined {
  const fragment = fragmentOf(reference)
  if (fragment === undefined) return undefined
  const target = fragment === '' || fragment.startsWith('/') ? atPointer(document, fragment) : anchors.get(fragment)
  return isJsonObject(target) || typeof target === 'boolean' ? target : undefined
}

function fragmentOf(reference: string): string | undefined {
  if (!reference.startsWith('#')) return undefined
  try {
    return decodeURIComponent(reference.slice(1))
  } catch {
    return undefined
  }
}

function atPointer(document: JsonValue, pointer: string): JsonValue | undefined {
  let at: JsonValue | undefined = document
  for (const step of pointer.split('/').slice(1)) {
    const key = step.replaceAll('~1', '/').replaceAll('~0', '~')
    const isInList = Array.isArray(at) && /^(0|[1-9]\d*)$/.test(key)
    if (!isInList && !isJsonObject(at)) return undefined
    at = Object.hasOwn(at as object, key) ? (at as Record<string, JsonValue>)[key] : undefined
  }
  return at
}

import { parseExactly } from '../lib/exact-json.ts'
import { isJsonObject, type JsonObject } from '../lib/json.ts'

/** How often an input may be a text that holds JSON. */
const MOST_ENCODINGS = 3

/** What stands before an input that comes in pieces with some servers, as if it had been empty. */
const EMPTY_BEFORE = /^\s*(?:\{\s*\}|null|"")\s*(?=\{)/

/**
 * The input of a call from the text that a model or its server made of it. No arguments at all are an empty input, as
 * models call tools without parameters: nothing, `null`, an empty text, and PHP's empty list. Also read are inputs that
 * are encoded more than once, ones that follow an empty one, and ones that stand there twice. Null for everything else:
 * what the model meant is then not known, and must not be carried out.
 */
export function readToolInput(text: string): JsonObject | null {
  const input = inputIn(text) ?? inputIn(text.replace(EMPTY_BEFORE, ''))
  if (input !== null) return input
  const plain = text.trim()
  const half = plain.slice(0, plain.length / 2)
  return half !== '' && half.length * 2 === plain.length && plain.endsWith(half) ? inputIn(half) : null
}

function inputIn(text: string): JsonObject | null {
  let value: unknown = text
  for (let depth = 0; typeof value === 'string' && depth <= MOST_ENCODINGS; depth++) {
    if (value.trim() === '') return {}
    try {
      value = parseExactly(value)
    } catch {
      return null
    }
  }
  if (value === null || (Array.isArray(value) && value.length === 0)) return {}
  return isJsonObject(value) ? value : null
}

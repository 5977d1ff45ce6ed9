import { isJsonObject, type JsonObject, type JsonValue } from '../../lib/json.ts'
import { PLAIN_THOUGHTS } from '../thinking/thoughts.ts'

/** Members of a message that are read elsewhere, or say nothing that a provider would want again. */
const KNOWN: ReadonlySet<string> = new Set([
  'role',
  'content',
  'refusal',
  'tool_calls',
  'function_call',
  'annotations',
  'citations',
  'audio',
  'images',
  'name',
  'id',
  'index',
  'token_ids',
  'logprobs',
])

/** The same for a call. */
const KNOWN_OF_CALLS: ReadonlySet<string> = new Set(['id', 'index', 'type', 'function'])

/** Characters of members that are kept of one message; what is cut no provider could read, so all of it is dropped. */
const MOST_CHARACTERS = 4 * 1_024 * 1_024

/**
 * Gathers what stands beside the text and the calls of a reply, in pieces: texts are joined, lists are put together by
 * their indexes, objects member by member, and of everything else the last counts.
 */
export function createMemberCollector(onThought: (text: string) => void) {
  let members: JsonObject = {}
  let characters = 0

  return {
    /** True if there was something in it. */
    take(delta: JsonObject): boolean {
      let isSome = false
      let said = ''
      for (const name in delta) {
        const value = delta[name]
        if (KNOWN.has(name) || value === null || value === undefined || value === '') continue
        isSome = true
        characters += typeof value === 'string' ? value.length : JSON.stringify(value).length
        if (characters <= MOST_CHARACTERS) members[name] = joined(members[name], value)
        // Some say the same under two names, and in its details once more.
        if (said === '') said = thoughtIn(name, value)
      }
      if (said !== '') onThought(said)
      return isSome
    },
    all: (): JsonObject | null => {
      if (characters > MOST_CHARACTERS) members = {}
      return Object.keys(members).length > 0 ? members : null
    },
  }
}

/** Whether there is more in a message than what is read elsewhere. */
export function hasMembersBeside(delta: JsonObject): boolean {
  for (const name in delta) if (!KNOWN.has(name) && (delta[name] ?? '') !== '') return true
  return false
}

/** What stands beside a call, in one piece of it. */
export function besideCall(piece: JsonObject): JsonObject | null {
  const found = Object.entries(piece).filter(([name, value]) => !KNOWN_OF_CALLS.has(name) && value !== null)
  return found.length > 0 ? Object.fromEntries(found) : null
}

/** Two pieces of what stands beside a call as one. */
export function joinedObjects(before: JsonObject | null, after: JsonObject | null): JsonObject | null {
  return before === null || after === null ? (before ?? after) : (joined(before, after) as JsonObject)
}

function joined(before: JsonValue | undefined, after: JsonValue): JsonValue {
  if (before === undefined || before === null) return after
  if (typeof before === 'string' && typeof after === 'string') return before + after
  if (Array.isArray(before) && Array.isArray(after)) return joinedLists(before, after)
  if (isJsonObject(before) && isJsonObject(after)) {
    const both: JsonObject = { ...before }
    for (const [name, value] of Object.entries(after)) {
      if (value === null || value === undefined) continue
      // What says which piece it is, or of which kind, comes again with every piece.
      const isName = NAMES.has(name) || both[name] === value
      both[name] = isName ? value : joined(both[name], value)
    }
    return both
  }
  return after
}

const NAMES: ReadonlySet<string> = new Set(['type', 'id', 'index', 'format', 'role', 'signature', 'data'])

/** OpenRouter sends `reasoning_details` in pieces: those of one index and kind that follow each other are one. */
function joinedLists(before: readonly JsonValue[], after: readonly JsonValue[]): JsonValue[] {
  const all = [...before]
  for (const item of after) {
    const last = all.at(-1)
    const isSame =
      isJsonObject(last) &&
      isJsonObject(item) &&
      last.index === item.index &&
      last.index !== undefined &&
      last.type === item.type
    const mayBeSame = isSame && (last.id ?? item.id ?? null) === (item.id ?? last.id ?? null)
    if (mayBeSame) all[all.length - 1] = joined(last, item)
    else all.push(item)
  }
  return all
}

/** The words of a thought that a member holds; empty where it holds none. */
function thoughtIn(name: string, value: JsonValue): string {
  if (PLAIN_THOUGHTS.has(name)) return wordsOf(value)
  return name === 'reasoning_details' || name === 'thinking_blocks' ? wordsOf(value) : ''
}

function wordsOf(value: JsonValue | undefined): string {
  if (typeof value === 'string') return value
  if (Array.isArray(value)) return value.map(wordsOf).join('')
  if (!isJsonObject(value)) return ''
  const { text, thinking, summary, content } = value
  return (
    [text, thinking, summary, content]
      .map((one) => (one === undefined ? '' : wordsOf(one)))
      .find((one) => one !== '') ?? ''
  )
}

/**
 * The thoughts in a content that comes in parts, as Mistral's thinking models send it:
 * `{type: 'thinking', thinking: [{type: 'text', text}]}`. Empty where there are none.
 */
export function thoughtsInParts(content: JsonValue | undefined): string {
  if (!Array.isArray(content)) return ''
  return content.map((part) => (isJsonObject(part) && isThought(part) ? wordsOf(part) : '')).join('')
}

/** Whether a part of a content is a thought and no text. */
export function isThought(part: JsonObject): boolean {
  return part.type === 'thinking' || part.type === 'reasoning' || part.type === 'thought'
}

import { isJsonObject, type JsonObject } from '../../lib/json.ts'

/**
 * What stood beside the words of one message of a model and goes back to its provider with it: thoughts, their signatures,
 * and whatever else the provider wants to see again. Opaque: kept as it came, shown to nobody, and nothing for others.
 */
export type Thoughts = {
  aiSystem: string
  model: string
  /** Members of the message itself, in the words of Chat Completions. */
  members?: JsonObject
  /** What stood in the text, with its tags. */
  tagged?: string
  /** The parts of the message in their order, in the words of the AI SDK. */
  parts?: readonly ThoughtPart[]
}

export type ThoughtPart =
  | { type: 'reasoning'; text: string; metadata?: JsonObject }
  /** UTF-16 units of the text of the message. */
  | { type: 'text'; length: number; metadata?: JsonObject }

/** Members that hold thoughts as plain words. */
export const PLAIN_THOUGHTS: ReadonlySet<string> = new Set([
  'reasoning_content',
  'reasoning',
  'reasoning_text',
  'thinking',
  'thoughts',
])

/** Members that are signed, encrypted, or say what belongs to what is. */
const SIGNED: ReadonlySet<string> = new Set([
  'reasoning_details',
  'extra_content',
  'thinking_blocks',
  'reasoning_opaque',
  'encrypted_content',
  'thought_signature',
  'thought_signatures',
  'signature',
  'provider_specific_fields',
])

/**
 * The members that go back beside a message. Behind calls everything does: a thinking model goes on where it was. With
 * an answer plain words do not, which no provider wants again and some refuse; what is signed or encrypted does.
 */
export function membersToSend(thoughts: Thoughts | undefined, aiSystem: string, hasCalls: boolean): JsonObject {
  if (thoughts?.aiSystem !== aiSystem || !isJsonObject(thoughts.members)) return {}
  if (hasCalls) return thoughts.members
  return Object.fromEntries(Object.entries(thoughts.members).filter(([name]) => SIGNED.has(name)))
}

/** Whether a provider ever wants to see it again. */
export function isWanted(thoughts: Thoughts, hasCalls: boolean): boolean {
  const { members = {}, tagged, parts = [] } = thoughts
  if (hasCalls) return Object.keys(members).length > 0 || tagged !== undefined || parts.length > 0
  return Object.keys(members).some((name) => SIGNED.has(name)) || parts.some(({ metadata }) => metadata)
}

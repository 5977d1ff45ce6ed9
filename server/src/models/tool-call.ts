import { createHash } from 'node:crypto'
import type { JsonObject } from '../lib/json.ts'
import { findHostedProvider } from './hosted-providers/providers.ts'
import { readToolInput } from './tool-input.ts'

/** A tool as a model sees it. `inputSchema` is a JSON Schema whose type is object. */
export type ToolDefinition = { name: string; description: string; inputSchema: JsonObject }

/** What a model wants to be done. */
export type ToolCall = {
  id: string
  name: string
  /** Empty when the model wrote something that is no JSON object; `invalidInput` has it then. */
  input: JsonObject
  invalidInput?: string
  /** What the provider wants to get back with the call, such as Gemini's thought signatures. Means nothing to others. */
  providerData?: JsonObject
}

/** What OpenAI takes; most others take more. */
const USUAL_IDS = { taken: /^[\w-]{1,40}$/, fromHash: (hash: string) => `call_${hash.slice(0, 24)}` }

/**
 * The id of a call as a provider accepts it: its own ids as they are, those that another provider or a client has made
 * hashed into its form. The same id always becomes the same.
 */
export function toolCallIdFor(aiSystem: string, id: string): string {
  const { taken, fromHash } = findHostedProvider(aiSystem)?.toolCallIds ?? USUAL_IDS
  return taken.test(id) ? id : fromHash(createHash('sha256').update(id).digest('hex'))
}

/** A call from what came of it: names the input that is no JSON object, as {@link readToolInput} reads it. */
export function toToolCall(id: string, name: string, input: string): ToolCall {
  const read = readToolInput(input)
  return read === null ? { id, name, input: {}, invalidInput: input } : { id, name, input: read }
}

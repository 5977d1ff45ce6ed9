import type { ModelSettings } from './settings.ts'

/** One message as a model sees it. The caller has already made the order acceptable to a strict provider. */
export type ModelMessage = { role: 'user' | 'assistant'; content: string }

export type ModelRequest = {
  system: string | null
  messages: ModelMessage[]
  settings: ModelSettings
  /** How many attempts this turn has made before this one, those at other models of the chain included; 0 at first. */
  attempt: number
  /** Aborting it closes the provider's connection. */
  signal: AbortSignal
}

/** Why a model stopped; the words are those of the wire. */
export type ModelFinishReason = 'stop' | 'length' | 'tool_calls' | 'content_filter'

/** Tokens, as the provider counted them. */
export type ModelUsage = { promptTokens: number; completionTokens: number }

export type ModelResult = {
  finishReason: ModelFinishReason
  /** null when the provider did not say; the caller then estimates. */
  usage: ModelUsage | null
}

/**
 * One model of one provider.
 *
 * Text is pushed and not pulled: a callback per piece costs no promise per token. `onText` is called synchronously, in
 * order, never with an empty string. Resolves when the provider has said why it stopped; rejects with a
 * {@link ModelError} (`model-error.ts`) when it failed, ended without a finish reason, or was aborted. One attempt:
 * retries, fallbacks and timeouts are `resilience.ts`.
 */
export type Model = {
  aiSystem: string
  model: string
  generate(request: ModelRequest, onText: (text: string) => void): Promise<ModelResult>
}

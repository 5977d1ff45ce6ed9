import type { JsonObject } from '../lib/json.ts'
import type { Dialect } from './dialects/dialect.ts'
import type { ModelFile } from './model-file.ts'
import type { ModelSettings } from './settings.ts'
import type { Thoughts } from './thinking/thoughts.ts'
import type { ToolCall, ToolDefinition } from './tool-call.ts'

/**
 * One message as a model sees it. The caller has already made the order acceptable to a strict provider: behind an
 * assistant message with calls comes one `tool` message for each of them, in their order. The files of a message are such
 * as the model takes, with their bytes.
 */
export type ModelMessage =
  | { role: 'user'; content: string; attachments?: readonly ModelFile[] }
  | { role: 'assistant'; content: string; toolCalls?: readonly ToolCall[]; thoughts?: Thoughts }
  | { role: 'tool'; content: string; toolCallId: string; name: string }

/** For whom a model is asked; the key is null where nobody knows it any more. */
export type ModelCaller = { organizationId: string; keyId: string | null; conversationId: string }

export type ModelRequest = {
  /** Absent where nobody is behind it. */
  caller?: ModelCaller
  system: string | null
  messages: ModelMessage[]
  settings: ModelSettings
  /** What the model may call; absent is nothing. */
  tools?: readonly ToolDefinition[]
  /** The tools are only named, because the messages speak of them: the model has to answer without. */
  mustAnswer?: boolean
  /** How this model differs from what its protocol says; absent, it is not known to. */
  dialect?: Dialect
  /** How many attempts this turn has made before this one, those at other models of the chain included; 0 at first. */
  attempt: number
  /** Aborting it closes the provider's connection. */
  signal: AbortSignal
}

/** Why a model stopped; the words are those of the wire. */
export type ModelFinishReason = 'stop' | 'length' | 'tool_calls' | 'content_filter'

/** Tokens, as the provider counted them; those of thoughts are among those of the completion. */
export type ModelUsage = { promptTokens: number; completionTokens: number; reasoningTokens?: number }

export type ModelResult = {
  finishReason: ModelFinishReason
  /** The provider's own word for it, where that is another one. */
  rawFinishReason?: string
  /** null when the provider did not say; the caller then estimates. */
  usage: ModelUsage | null
  /** In the order of the model; absent where there are none. */
  toolCalls?: readonly ToolCall[]
  /** Where it says that it has this from, as the provider writes it; absent where it says nothing. */
  citations?: readonly JsonObject[]
  /** What the provider wants to see again beside this message; absent where there is nothing. */
  thoughts?: Thoughts
}

/**
 * One model of one provider.
 *
 * Text is pushed and not pulled: a callback per piece costs no promise per token. `onText` is called synchronously, in
 * order, never with an empty string; `onActivity` says that something came that is no text, such as a piece of a call; `onThought` gets the words of thoughts, which are no part
 * of the reply.
 * Resolves when the provider has said why it stopped; rejects with a {@link ModelError} (`model-error.ts`) when it
 * failed, ended without a finish reason, or was aborted. One attempt: retries, fallbacks and timeouts are
 * `calling/resilience.ts`.
 */
export type Model = {
  aiSystem: string
  model: string
  /** Gets ready what it can for a request that is about to come with this very array of messages, or not at all. */
  prepare?(messages: readonly ModelMessage[]): void
  generate(
    request: ModelRequest,
    onText: (text: string) => void,
    onActivity?: () => void,
    onThought?: (text: string) => void,
  ): Promise<ModelResult>
}

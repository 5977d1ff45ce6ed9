import type { JsonObject } from '../lib/json.ts'
import { type Static, Type } from '../lib/schema.ts'
import { FILE_KINDS } from './model-file.ts'
import { ResponseFormat } from './response-format.ts'
import { ReasoningSettings } from './thinking/reasoning-settings.ts'

const Fallback = Type.Object({
  aiSystem: Type.String({ minLength: 1 }),
  model: Type.String({ minLength: 1, maxLength: 200 }),
})

/** Milliseconds. */
export type TurnTimeouts = { firstTokenMs: number; betweenTokensMs: number; totalMs: number; afterFinishMs: number }

export const DEFAULT_TIMEOUTS: Readonly<TurnTimeouts> = {
  firstTokenMs: 60_000,
  betweenTokensMs: 30_000,
  totalMs: 600_000,
  afterFinishMs: 1_500,
}

/** Milliseconds each phase of a call may take; what is absent has the server's default. */
export const ModelTimeouts = Type.Object({
  firstTokenMs: Type.Optional(Type.Integer({ minimum: 1, maximum: 600_000 })),
  betweenTokensMs: Type.Optional(Type.Integer({ minimum: 1, maximum: 600_000 })),
  totalMs: Type.Optional(Type.Integer({ minimum: 1, maximum: 3_600_000 })),
  /** Of silence behind the finish reason, for a provider that does not end its answer. */
  afterFinishMs: Type.Optional(Type.Integer({ minimum: 1, maximum: 60_000 })),
})

/**
 * Milliseconds of silence after which a reply is over whose finish reason has come. Half of what may be between two tokens at
 * most, so that a whole reply is never taken for one that fell silent.
 */
export function silenceAfterFinish(timeouts: ModelTimeouts | undefined): number {
  const { afterFinishMs, betweenTokensMs } = { ...DEFAULT_TIMEOUTS, ...timeouts }
  return Math.max(1, Math.floor(Math.min(afterFinishMs, betweenTokensMs / 2)))
}

const RehearsedCall = Type.Object({
  name: Type.String({ maxLength: 64 }),
  input: Type.Optional(Type.Unsafe<JsonObject>({ type: 'object', additionalProperties: true })),
})

/** The script of the built-in `rehearsal` system. */
export const RehearsalScript = Type.Object({
  text: Type.Optional(Type.String({ maxLength: 200_000 })),
  /** 0 is as fast as it goes. */
  tokensPerSecond: Type.Optional(Type.Number({ minimum: 0, maximum: 100_000 })),
  /** Milliseconds before the first token. */
  delayMs: Type.Optional(Type.Integer({ minimum: 0, maximum: 600_000 })),
  /** Fail instead of sending token n, counting from 0; beyond the last token it fails instead of finishing. */
  failAtToken: Type.Optional(Type.Integer({ minimum: 0 })),
  /** How it fails: an error of the provider, a cut connection (no finish reason), or silence until the timeout. */
  failure: Type.Optional(Type.Enum(['error', 'cut', 'hang', 'rate_limit'])),
  /** How many attempts of a turn fail before one succeeds, retries and fallbacks counted together; absent: all of them. */
  failures: Type.Optional(Type.Integer({ minimum: 0, maximum: 100 })),
  finishReason: Type.Optional(Type.Enum(['stop', 'length', 'content_filter'])),
  /** The tools that it calls before it answers: those of the first step, of the second, and so on. */
  toolCalls: Type.Optional(Type.Array(Type.Array(RehearsedCall, { minItems: 1, maxItems: 16 }), { maxItems: 64 })),
})

/** What a persona version or a conversation may say about the call of its model. Out of range is refused when it is written. */
export const ModelSettings = Type.Object({
  temperature: Type.Optional(Type.Number({ minimum: 0, maximum: 2 })),
  topP: Type.Optional(Type.Number({ minimum: 0, maximum: 1 })),
  topK: Type.Optional(Type.Integer({ minimum: 1, maximum: 1_000_000 })),
  maxTokens: Type.Optional(Type.Integer({ minimum: 1, maximum: 10_000_000 })),
  stop: Type.Optional(
    Type.Unsafe<string | string[]>({
      type: ['string', 'array'],
      minLength: 1,
      maxLength: 1_000,
      items: { type: 'string', minLength: 1, maxLength: 1_000 },
      maxItems: 16,
    }),
  ),
  seed: Type.Optional(Type.Integer({ minimum: -2_147_483_648, maximum: 2_147_483_647 })),
  frequencyPenalty: Type.Optional(Type.Number({ minimum: -2, maximum: 2 })),
  presencePenalty: Type.Optional(Type.Number({ minimum: -2, maximum: 2 })),
  responseFormat: Type.Optional(ResponseFormat),
  reasoning: Type.Optional(ReasoningSettings),
  /** Files that the models take as parts of a message, for models whose names say nothing of it. */
  attachments: Type.Optional(Type.Array(Type.Enum([...FILE_KINDS]), { maxItems: 2 })),
  fallbacks: Type.Optional(Type.Array(Fallback, { maxItems: 8 })),
  timeouts: Type.Optional(ModelTimeouts),
  rehearsal: Type.Optional(RehearsalScript),
})

export type ModelSettings = Static<typeof ModelSettings>
export type ModelTimeouts = Static<typeof ModelTimeouts>
export type RehearsalScript = Static<typeof RehearsalScript>

import { type Static, Type } from '../../lib/schema.ts'

/** What a persona version or a conversation may say about how much of the talk its model gets to see. */
export const ContextSettings = Type.Object({
  /** Tokens that the model can see, prompt and reply together, where the server does not know, or less is wanted. */
  contextWindow: Type.Optional(Type.Integer({ minimum: 1_024, maximum: 10_000_000 })),
  /** What becomes of messages that do not fit: left out, or replaced by a summary. */
  contextPolicy: Type.Optional(Type.Enum(['truncate', 'summarize'])),
  /** Who writes the summaries; by default the conversation's own model. */
  summaryModel: Type.Optional(
    Type.Object({ aiSystem: Type.String({ minLength: 1 }), model: Type.String({ minLength: 1, maxLength: 200 }) }),
  ),
})

export type ContextSettings = Static<typeof ContextSettings>
export type ContextPolicy = NonNullable<ContextSettings['contextPolicy']>

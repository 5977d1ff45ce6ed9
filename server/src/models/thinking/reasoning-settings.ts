import { type Static, Type } from '../../lib/schema.ts'

/** How much a model thinks before it answers, and whether what it thinks can be seen. */
export const ReasoningSettings = Type.Object({
  effort: Type.Optional(Type.Enum(['none', 'minimal', 'low', 'medium', 'high', 'xhigh', 'max'])),
  /** Tokens; 0 is no thinking at all. For providers that only know an effort it becomes one. */
  budgetTokens: Type.Optional(Type.Integer({ minimum: 0, maximum: 1_000_000 })),
  /** Asks the provider for its thoughts in words, where it has to be asked; with false, nobody gets to see them. */
  show: Type.Optional(Type.Boolean()),
})

export type ReasoningSettings = Static<typeof ReasoningSettings>
export type Effort = NonNullable<ReasoningSettings['effort']>

/** Tokens up to which a budget is a low effort, and up to which it is a medium one. */
const MOST_OF_LOW = 2_048
const MOST_OF_MEDIUM = 8_192

/** The effort that is asked for, or that a budget comes to; undefined where nothing is said. */
export function effortOf({ effort, budgetTokens }: ReasoningSettings): Effort | undefined {
  if (effort !== undefined || budgetTokens === undefined) return effort
  if (budgetTokens === 0) return 'none'
  if (budgetTokens <= MOST_OF_LOW) return 'low'
  return budgetTokens <= MOST_OF_MEDIUM ? 'medium' : 'high'
}

/**
 * The members of a Chat Completions request. OpenRouter has words of its own
 * (https://openrouter.ai/docs/use-cases/reasoning-tokens); everybody else takes an effort or nothing.
 */
export function reasoningMembers(settings: ReasoningSettings | undefined, baseUrl: string): object {
  if (settings === undefined) return {}
  const { effort, budgetTokens, show } = settings
  if (!isOpenRouter(baseUrl)) return { reasoning_effort: effortOf(settings) }
  const isOff = effort === 'none' || (effort === undefined && budgetTokens === 0)
  // It takes one of the two; what is more exact goes before.
  const amount = budgetTokens ? { max_tokens: budgetTokens } : effort === undefined ? {} : { effort }
  const reasoning = { ...(isOff ? { enabled: false } : amount), ...(show === false && { exclude: true }) }
  return Object.keys(reasoning).length === 0 ? {} : { reasoning }
}

function isOpenRouter(baseUrl: string): boolean {
  return /(?:^|\.)openrouter\.ai$/i.test(new URL(baseUrl).hostname)
}

import type { ModelUsage } from '../model.ts'

/** The most that one call can have cost: no model reads a tenth of it, and sums of millions of such numbers are exact. */
export const MOST_TOKENS_OF_A_CALL = 100_000_000

/**
 * What a provider says it has counted, which may be anything. Null, which is unknown, for what no count can be: a text,
 * a fraction, a negative number, or one that is larger than {@link MOST_TOKENS_OF_A_CALL}.
 */
export function toUsage(
  promptTokens: unknown,
  completionTokens: unknown,
  reasoningTokens?: unknown,
): ModelUsage | null {
  if (!isCount(promptTokens) || !isCount(completionTokens)) return null
  // Of a negative zero, which is none, the sign would be kept.
  const usage = { promptTokens: promptTokens + 0, completionTokens: completionTokens + 0 }
  return isCount(reasoningTokens) && reasoningTokens > 0 ? { ...usage, reasoningTokens } : usage
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= MOST_TOKENS_OF_A_CALL
}

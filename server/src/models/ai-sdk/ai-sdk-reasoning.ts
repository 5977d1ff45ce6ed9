import type { LanguageModelV4CallOptions, SharedV4ProviderOptions } from '@ai-sdk/provider'
import type { ModelSettings } from '../settings.ts'
import { type Effort, effortOf, type ReasoningSettings } from '../thinking/reasoning-settings.ts'

type Asked = Pick<LanguageModelV4CallOptions, 'reasoning' | 'providerOptions' | 'maxOutputTokens'>

/** What Anthropic takes at least. */
const LEAST_BUDGET = 1_024

/** Models of Anthropic that decide themselves how much they think, and say it in words when they are asked to. */
const THINKS_AS_IT_LIKES = /claude-(?:opus|sonnet)-(?:4-[6-9]|[5-9])/

/** What an effort comes to for the models of Anthropic that only know a budget. */
const BUDGETS: Readonly<Record<Effort, number>> = {
  none: 0,
  minimal: 1_024,
  low: 2_048,
  medium: 8_192,
  high: 16_384,
  xhigh: 24_576,
  max: 32_000,
}

/**
 * How much a model is to think, in the words of each package: an effort as such, which each maps to what its models take;
 * a budget, and whether the thoughts are wanted in words, as options of the provider. Thoughts are among the tokens that
 * a reply may have at most.
 */
export function reasoningOptions(
  { aiSystem, model }: { aiSystem: string; model: string },
  { reasoning, maxTokens }: Pick<ModelSettings, 'reasoning' | 'maxTokens'>,
): Asked {
  if (reasoning === undefined) return {}
  const { budgetTokens, show } = reasoning
  const isClaude = aiSystem === 'anthropic' || (aiSystem === 'bedrock' && model.includes('claude'))
  if (isClaude && (budgetTokens !== undefined || !THINKS_AS_IT_LIKES.test(model))) {
    const budget = budgetTokens ?? (reasoning.effort && BUDGETS[reasoning.effort])
    return budget === undefined ? {} : claudeBudget(aiSystem, budget, maxTokens)
  }
  const effort = effortOf(reasoning)
  if (isClaude) {
    const isShown = aiSystem === 'anthropic' && show === true && effort !== undefined && effort !== 'none'
    const thinking = { type: 'adaptive', display: 'summarized' }
    return { ...(effort && { reasoning: effort }), ...(isShown && { providerOptions: { anthropic: { thinking } } }) }
  }
  const providerOptions = ownOptions(aiSystem, reasoning)
  const hasBudget = budgetTokens !== undefined && (aiSystem === 'google' || aiSystem === 'cohere')
  return { ...(effort && !hasBudget && { reasoning: effort }), ...(providerOptions && { providerOptions }) }
}

/** The packages add the budget to what the reply may have, which would be more than was allowed. */
function claudeBudget(aiSystem: string, wanted: number, maxTokens: number | undefined): Asked {
  const most = maxTokens === undefined ? wanted : Math.min(Math.max(wanted, LEAST_BUDGET), maxTokens - 1)
  const isOff = wanted === 0 || (maxTokens !== undefined && most < LEAST_BUDGET)
  const budgetTokens = Math.max(LEAST_BUDGET, most)
  const thinking = isOff ? { type: 'disabled' } : { type: 'enabled', budgetTokens }
  const providerOptions: SharedV4ProviderOptions =
    aiSystem === 'anthropic' ? { anthropic: { thinking } } : { bedrock: { reasoningConfig: thinking } }
  return { providerOptions, ...(!isOff && maxTokens !== undefined && { maxOutputTokens: maxTokens - budgetTokens }) }
}

function ownOptions(aiSystem: string, { budgetTokens, show }: ReasoningSettings): SharedV4ProviderOptions | null {
  switch (aiSystem) {
    case 'cohere':
      if (budgetTokens === undefined) return null
      return {
        cohere: {
          thinking: budgetTokens === 0 ? { type: 'disabled' } : { type: 'enabled', tokenBudget: budgetTokens },
        },
      }
    case 'google':
      if (budgetTokens === undefined && show === undefined) return null
      return {
        google: {
          thinkingConfig: {
            ...(budgetTokens !== undefined && { thinkingBudget: budgetTokens }),
            ...(show !== undefined && { includeThoughts: show }),
          },
        },
      }
    case 'groq':
      return show === undefined ? null : { groq: { reasoningFormat: show ? 'parsed' : 'hidden' } }
    default:
      return null
  }
}

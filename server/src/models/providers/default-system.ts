import type { AiSystem } from '../ai-systems.ts'
import type { HostedProvider } from '../hosted-providers/hosted-provider.ts'
import { HOSTED_PROVIDERS, type HostedAiSystem } from '../hosted-providers/providers.ts'
import { missingVariables, type ProviderSettings } from './provider-settings.ts'

type Provider = HostedProvider<HostedAiSystem>

/** The order in which the default is looked for among what is configured. */
export const DEFAULT_ORDER = HOSTED_PROVIDERS.toSorted((one: Provider, other: Provider) => rankOf(one) - rankOf(other))

function rankOf({ isLastChoice = false }: Provider): number {
  return isLastChoice ? 1 : 0
}

/** What the environment alone says about the default; `because` is the end of a sentence. */
export type ConfiguredDefault = { aiSystem: AiSystem; because: string }

/**
 * DRAMATIS_DEFAULT_AI_SYSTEM; else the first hosted provider that is configured; else the OpenAI-compatible server; else
 * the local model; else null.
 */
export function configuredDefault(settings: ProviderSettings): ConfiguredDefault | null {
  if (settings.defaultAiSystem !== null) {
    const missing = missingVariables(settings.defaultAiSystem, settings)
    const hint = missing.length === 0 ? '' : `; it cannot be used before ${missing.join(' and ')} is set`
    return { aiSystem: settings.defaultAiSystem, because: `DRAMATIS_DEFAULT_AI_SYSTEM says so${hint}` }
  }
  const hosted = DEFAULT_ORDER.find(
    (provider) => missingVariables(provider.name, settings).length === 0 && choiceOf(provider, settings) !== undefined,
  )
  if (hosted) return { aiSystem: hosted.name, because: `${choiceOf(hosted, settings)} is set` }
  if (settings.openaiCompatible.baseUrl !== null) {
    return { aiSystem: 'openai-compatible', because: 'OPENAI_COMPATIBLE_BASE_URL is set' }
  }
  if (settings.local.sources.length === 0) return null
  return { aiSystem: 'local', because: 'DRAMATIS_LOCAL_MODELS is set' }
}

/** The variable that is set and speaks for a provider. */
function choiceOf({ chosenBy, needs }: Provider, settings: ProviderSettings): string | undefined {
  return (chosenBy ?? needs.flat()).find((name) => settings.given.has(name))
}

import { AI_SYSTEM_FACTS, type AiSystem } from '../ai-systems.ts'
import { missingVariables, type ProviderSettings } from './provider-settings.ts'

/**
 * The order in which the default is looked for among what is configured. Azure comes late because its model is the name
 * of somebody's deployment.
 */
const PREFERENCE = ['openai', 'anthropic', 'google', 'mistral', 'groq', 'cohere', 'azure-openai', 'bedrock'] as const

/** What the environment alone says about the default; `because` is the end of a sentence. */
export type ConfiguredDefault = { aiSystem: AiSystem; because: string }

/**
 * DRAMATIS_DEFAULT_AI_SYSTEM; else the first hosted provider that is configured; else the OpenAI-compatible server; else
 * the local model; else null. AWS access keys alone do not count: they are often there for something else.
 */
export function configuredDefault(settings: ProviderSettings): ConfiguredDefault | null {
  if (settings.defaultAiSystem !== null) {
    const missing = missingVariables(settings.defaultAiSystem, settings)
    const hint = missing.length === 0 ? '' : `; it cannot be used before ${missing.join(' and ')} is set`
    return { aiSystem: settings.defaultAiSystem, because: `DRAMATIS_DEFAULT_AI_SYSTEM says so${hint}` }
  }
  const hosted = PREFERENCE.find(
    (aiSystem) =>
      missingVariables(aiSystem, settings).length === 0 &&
      (aiSystem !== 'bedrock' || settings.bedrock.bearerToken !== null),
  )
  const ownServer = settings.openaiCompatible.baseUrl === null ? null : 'openai-compatible'
  const aiSystem = hosted ?? ownServer ?? (settings.local.sources.length === 0 ? null : 'local')
  if (aiSystem === null) return null
  const variable = AI_SYSTEM_FACTS[aiSystem].needs.flat().find((name) => settings.given.has(name))
  return { aiSystem, because: `${aiSystem === 'bedrock' ? 'AWS_BEARER_TOKEN_BEDROCK' : variable} is set` }
}

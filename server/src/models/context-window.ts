import { AI_SYSTEM_FACTS, type AiSystem } from './ai-systems.ts'
import type { KnownWindow } from './hosted-providers/hosted-provider.ts'
import { findHostedProvider, HOSTED_PROVIDERS } from './hosted-providers/providers.ts'

/** Of all providers, because many serve the models of others; the longer beginning before the shorter. */
const KNOWN = HOSTED_PROVIDERS.flatMap(({ windows }): readonly KnownWindow[] => windows).toSorted(
  ([one], [other]) => other.length - one.length,
)

/** Tokens that a model can see, prompt and reply together, if its name says so. */
export function knownWindow(aiSystem: AiSystem, model: string): number | null {
  // Ollama cuts a prompt at what it was started with, whatever the model could do.
  if (aiSystem === 'ollama' || aiSystem === 'local' || aiSystem === 'rehearsal') return null
  // OpenRouter writes `anthropic/claude-…`.
  const name = model.toLowerCase().slice(model.lastIndexOf('/') + 1)
  const bare = findHostedProvider(aiSystem)?.nameOfVendor?.(name) ?? name
  return KNOWN.find(([beginning]) => bare.startsWith(beginning))?.[1] ?? null
}

/** The same, and where the name says nothing what is safe for the system. */
export function contextWindow(aiSystem: AiSystem, model: string): number {
  return knownWindow(aiSystem, model) ?? AI_SYSTEM_FACTS[aiSystem].contextWindow
}

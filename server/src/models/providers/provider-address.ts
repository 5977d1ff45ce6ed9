import type { AiSystem } from '../ai-systems.ts'
import type { ProviderAddress } from '../errors/wrong-address.ts'
import { findHostedProvider, isHosted } from '../hosted-providers/providers.ts'
import type { ProviderSettings } from './provider-settings.ts'

type Place = { variable: string; end: string | null; url: string | null }

/** Where a system is that is called over the network. */
function placeOf(aiSystem: AiSystem, settings: ProviderSettings): Place | null {
  if (isHosted(aiSystem)) {
    const address = findHostedProvider(aiSystem)?.address
    return address ? { ...address, url: settings.hosted[aiSystem].baseUrl } : null
  }
  if (aiSystem === 'ollama') return { variable: 'OLLAMA_HOST', end: null, url: settings.ollama.baseUrl }
  if (aiSystem !== 'openai-compatible') return null
  return { variable: 'OPENAI_COMPATIBLE_BASE_URL', end: '/v1', url: settings.openaiCompatible.baseUrl }
}

/** A version as a part of a path: `/v1`, `/v1beta`, `/v2/`. */
const VERSION = /\/v\d[a-z0-9]*(?:\/|$)/i

/** What can be said of the address of a provider; null for one that has none. */
export function providerAddress(aiSystem: AiSystem, settings: ProviderSettings): ProviderAddress | null {
  const place = placeOf(aiSystem, settings)
  if (place === null) return null
  const isComplete = place.end === null || place.url === null || VERSION.test(new URL(place.url).pathname)
  return {
    variable: settings.given.has(place.variable) ? place.variable : null,
    missingEnd: isComplete ? null : place.end,
  }
}

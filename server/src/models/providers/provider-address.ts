import type { AiSystem } from '../ai-systems.ts'
import type { ProviderAddress } from '../errors/wrong-address.ts'
import type { ProviderSettings } from './provider-settings.ts'

type Place = { variable: string; end: string | null; url(settings: ProviderSettings): string | null }

/** Of the systems that are called over the network. What ends with null is completed by us. */
const PLACES: Readonly<Partial<Record<AiSystem, Place>>> = {
  openai: { variable: 'OPENAI_BASE_URL', end: '/v1', url: ({ openai }) => openai.baseUrl },
  'azure-openai': { variable: 'AZURE_OPENAI_ENDPOINT', end: null, url: ({ azureOpenai }) => azureOpenai.baseUrl },
  anthropic: { variable: 'ANTHROPIC_BASE_URL', end: null, url: ({ anthropic }) => anthropic.baseUrl },
  google: { variable: 'GOOGLE_GENERATIVE_AI_BASE_URL', end: '/v1beta', url: ({ google }) => google.baseUrl },
  mistral: { variable: 'MISTRAL_BASE_URL', end: '/v1', url: ({ mistral }) => mistral.baseUrl },
  groq: { variable: 'GROQ_BASE_URL', end: '/openai/v1', url: ({ groq }) => groq.baseUrl },
  cohere: { variable: 'COHERE_BASE_URL', end: '/v2', url: ({ cohere }) => cohere.baseUrl },
  bedrock: { variable: 'AWS_ENDPOINT_URL_BEDROCK_RUNTIME', end: null, url: ({ bedrock }) => bedrock.baseUrl },
  'openai-compatible': {
    variable: 'OPENAI_COMPATIBLE_BASE_URL',
    end: '/v1',
    url: ({ openaiCompatible }) => openaiCompatible.baseUrl,
  },
  ollama: { variable: 'OLLAMA_HOST', end: null, url: ({ ollama }) => ollama.baseUrl },
}

/** A version as a part of a path: `/v1`, `/v1beta`, `/v2/`. */
const VERSION = /\/v\d[a-z0-9]*(?:\/|$)/i

/** What can be said of the address of a provider; null for one that has none. */
export function providerAddress(aiSystem: AiSystem, settings: ProviderSettings): ProviderAddress | null {
  const place = PLACES[aiSystem]
  if (place === undefined) return null
  const url = place.url(settings)
  const isComplete = place.end === null || url === null || VERSION.test(new URL(url).pathname)
  return {
    variable: settings.given.has(place.variable) ? place.variable : null,
    missingEnd: isComplete ? null : place.end,
  }
}

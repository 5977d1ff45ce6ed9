import type { AiSystem } from './ai-systems.ts'
import type { ProviderSettings } from './providers/provider-settings.ts'

/** How the address of a provider may be wrong. */
export type ProviderAddress = Readonly<{
  /** The variable that says it; null when it is the provider's own. */
  variable: string | null
  /** What such an address ends with and this one does not; null when nothing is missing. */
  missingEnd: string | null
}>

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

/** The question that a web page in the place of an answer raises. */
export function whyAPage(address: ProviderAddress | null): string {
  const missing = whyMissing(address)
  if (missing !== null) return missing
  return address?.variable
    ? `is ${address.variable} the address of its API?`
    : 'does a proxy or a login page stand in between?'
}

/** The question that "not found" raises; null when the address looks complete. */
export function whyMissing(address: ProviderAddress | null): string | null {
  if (!address?.variable || address.missingEnd === null) return null
  return `is ${address.missingEnd} missing at the end of ${address.variable}?`
}

/** Whether an answer is a page for people: by its beginning, because some say `text/html` of everything. */
export function isWebPage(body: string): boolean {
  const beginning = body.slice(0, 1_024).replace(/^[\s\uFEFF]+/, '')
  return /^<(?:!doctype\s+html|html|head|body|title|!--)/i.test(beginning)
}

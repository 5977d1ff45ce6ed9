import { anthropic } from './anthropic.ts'
import { azureOpenai } from './azure-openai.ts'
import { bedrock } from './bedrock.ts'
import { cohere } from './cohere.ts'
import { google } from './google.ts'
import { groq } from './groq.ts'
import type { HostedProvider } from './hosted-provider.ts'
import { mistral } from './mistral.ts'
import { openai } from './openai.ts'

/** Every hosted provider, in the order of the docs, which is also that in which the default is looked for. */
export const HOSTED_PROVIDERS = [openai, azureOpenai, anthropic, google, mistral, groq, cohere, bedrock] as const

export type HostedAiSystem = (typeof HOSTED_PROVIDERS)[number]['name']

const BY_NAME: ReadonlyMap<string, HostedProvider> = new Map(
  HOSTED_PROVIDERS.map((provider) => [provider.name, provider]),
)

/** Undefined for an AI system that is none of them. */
export function findHostedProvider(aiSystem: string): HostedProvider | undefined {
  return BY_NAME.get(aiSystem)
}

export function isHosted(aiSystem: string): aiSystem is HostedAiSystem {
  return BY_NAME.has(aiSystem)
}

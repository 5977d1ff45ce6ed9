import { AI_SYSTEM_FACTS, type AiSystem } from '../../models/ai-systems.ts'
import type { ProviderSettings } from '../../models/providers/provider-settings.ts'
import { reasonOf } from '../reason.ts'
import { broken, type Finding, note, ok } from './finding.ts'

const TIMEOUT_MS = 5_000

type Question = { url: string; headers: Record<string, string> }

/**
 * Asks a configured provider for the list of its models, which costs nothing, and so finds out whether it can be reached
 * and takes the key. null for a system that has no such list, or none that a key alone opens.
 */
export async function askProvider(aiSystem: AiSystem, settings: ProviderSettings): Promise<Finding | null> {
  const question = questionFor(aiSystem, settings)
  if (question === null) return null
  const { url, headers } = question
  const { origin } = new URL(url)
  try {
    const response = await fetch(url, { headers, signal: AbortSignal.timeout(TIMEOUT_MS) })
    const isRefused = response.status === 401 || (response.status === 400 && (await isGooglesRefusal(response)))
    await response.body?.cancel().catch(() => {})
    if (isRefused) return broken(aiSystem, `${origin} does not accept the key in ${keyVariable(aiSystem, settings)}`)
    if (response.ok) return ok(aiSystem, `${origin} answers and accepts the key`)
    return note(aiSystem, `${origin} answers ${response.status} when asked for its models, which may mean nothing`)
  } catch (error) {
    return broken(aiSystem, `${origin} cannot be reached: ${reasonOf(error)}`)
  }
}

function questionFor(aiSystem: AiSystem, settings: ProviderSettings): Question | null {
  const { openai, azureOpenai, anthropic, google, mistral, groq, cohere, openaiCompatible } = settings
  const bearer = (provider: { apiKey: string | null; baseUrl: string }): Question => ({
    url: `${provider.baseUrl}/models`,
    headers: provider.apiKey === null ? {} : { authorization: `Bearer ${provider.apiKey}` },
  })
  switch (aiSystem) {
    case 'openai':
      return bearer(openai)
    case 'mistral':
      return bearer(mistral)
    case 'groq':
      return bearer(groq)
    case 'cohere':
      // The second version of its API has no list.
      return bearer({ ...cohere, baseUrl: cohere.baseUrl.replace(/\/v2$/, '/v1') })
    case 'anthropic':
      return {
        url: `${anthropic.baseUrl}/models`,
        headers: { 'x-api-key': anthropic.apiKey ?? '', 'anthropic-version': '2023-06-01' },
      }
    case 'google':
      return { url: `${google.baseUrl}/models`, headers: { 'x-goog-api-key': google.apiKey ?? '' } }
    case 'azure-openai': {
      const query = azureOpenai.deploymentUrls ? `?api-version=${encodeURIComponent(azureOpenai.apiVersion)}` : ''
      return { url: `${azureOpenai.baseUrl}/models${query}`, headers: { 'api-key': azureOpenai.apiKey ?? '' } }
    }
    case 'openai-compatible':
      return openaiCompatible.baseUrl === null
        ? null
        : bearer({ apiKey: openaiCompatible.apiKey, baseUrl: openaiCompatible.baseUrl })
    default:
      return null
  }
}

/** Google answers 400 to a wrong key (https://ai.google.dev/gemini-api/docs/troubleshooting). */
async function isGooglesRefusal(response: Response): Promise<boolean> {
  return /API_KEY_INVALID|API key not valid/.test(await response.text())
}

function keyVariable(aiSystem: AiSystem, settings: ProviderSettings): string {
  if (aiSystem === 'openai-compatible') return 'OPENAI_COMPATIBLE_API_KEY'
  return AI_SYSTEM_FACTS[aiSystem].needs[0]?.find((name) => settings.given.has(name)) ?? 'its variable'
}

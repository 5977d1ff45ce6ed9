import { AI_SYSTEM_FACTS, type AiSystem } from '../../models/ai-systems.ts'
import { isWebPage, whyAPage, whyMissing } from '../../models/errors/wrong-address.ts'
import { type ModelListRequest, modelListOf } from '../../models/hosted-providers/hosted-provider.ts'
import { isHosted } from '../../models/hosted-providers/providers.ts'
import { providerAddress } from '../../models/providers/provider-address.ts'
import type { ProviderSettings } from '../../models/providers/provider-settings.ts'
import { reasonOf } from '../reason.ts'
import { broken, type Finding, note, ok } from './finding.ts'

const TIMEOUT_MS = 5_000

/** Characters of an answer that are looked at. */
const MOST_READ = 10_000

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
    // Where a redirect leads to must not get the key.
    const response = await fetch(url, { headers, redirect: 'manual', signal: AbortSignal.timeout(TIMEOUT_MS) })
    const text = await beginningOf(response)
    const address = providerAddress(aiSystem, settings)
    const { status } = response
    if (status >= 300 && status < 400) {
      return broken(aiSystem, `${origin}: the address sends to another one (${status}); ${whyAPage(address)}`)
    }
    if (status < 500 && isWebPage(text)) {
      return broken(aiSystem, `${origin}: the address answers with a web page (${status}); ${whyAPage(address)}`)
    }
    const isRefused = status === 401 || (status === 400 && isGooglesRefusal(text))
    if (isRefused) return broken(aiSystem, `${origin} does not accept the key in ${keyVariable(aiSystem, settings)}`)
    const question = status === 404 || /unexpected endpoint/i.test(text) ? whyMissing(address) : null
    if (question !== null)
      return note(aiSystem, `${origin} answers ${status} and has no list of models there; ${question}`)
    if (response.ok) return ok(aiSystem, `${origin} answers and accepts the key`)
    return note(aiSystem, `${origin} answers ${status} when asked for its models, which may mean nothing`)
  } catch (error) {
    return broken(aiSystem, `${origin} cannot be reached: ${reasonOf(error)}`)
  }
}

function questionFor(aiSystem: AiSystem, { hosted, openaiCompatible }: ProviderSettings): ModelListRequest | null {
  if (isHosted(aiSystem)) return hosted[aiSystem].modelList
  const { baseUrl, apiKey } = openaiCompatible
  return aiSystem === 'openai-compatible' && baseUrl !== null ? modelListOf(baseUrl, apiKey) : null
}

/** Google answers 400 to a wrong key (https://ai.google.dev/gemini-api/docs/troubleshooting). */
function isGooglesRefusal(text: string): boolean {
  return /API_KEY_INVALID|API key not valid/.test(text)
}

/** Enough of an answer to tell what it is. */
async function beginningOf(response: Response): Promise<string> {
  let text = ''
  const decoder = new TextDecoder()
  // What breaks off has a beginning too.
  try {
    for await (const piece of response.body ?? []) {
      text += decoder.decode(piece as Uint8Array, { stream: true })
      if (text.length >= MOST_READ) break
    }
  } catch {}
  return text
}

function keyVariable(aiSystem: AiSystem, settings: ProviderSettings): string {
  if (aiSystem === 'openai-compatible') return 'OPENAI_COMPATIBLE_API_KEY'
  return AI_SYSTEM_FACTS[aiSystem].needs[0]?.find((name) => settings.given.has(name)) ?? 'its variable'
}

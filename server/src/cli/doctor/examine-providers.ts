import type { Listing } from '../../models/providers/listing.ts'
import type { ProviderSettings } from '../../models/providers/provider-settings.ts'
import { askProvider } from './ask-provider.ts'
import { broken, type Finding, note, ok } from './finding.ts'

/** Which providers are usable and why others are not; those that are configured are asked for the list of their models. */
export async function examineProviders(settings: ProviderSettings): Promise<Finding[]> {
  const { createModelRegistry } = await import('../../models/providers/registry.ts')
  const registry = createModelRegistry({ settings, clock: Date.now })
  try {
    const [listings, chosen] = await Promise.all([registry.list(), registry.resolveDefault()])
    const findings = await Promise.all(listings.map((listing) => examineOne(listing, settings)))
    const isGood = findings.some(({ subject, state }) => subject === chosen.aiSystem && state === 'ok')
    const isBad = findings.some(({ subject, state }) => subject === chosen.aiSystem && state === 'broken')
    return [...findings, (isGood ? ok : isBad ? broken : note)('default', chosen.whyInside)]
  } finally {
    await registry.close()
  }
}

async function examineOne({ aiSystem, isUsable, whyInside: why, defaultModel }: Listing, settings: ProviderSettings) {
  const isConfigured = isUsable || (aiSystem === 'openai-compatible' && settings.openaiCompatible.baseUrl !== null)
  const answer = isConfigured ? await askProvider(aiSystem, settings) : null
  if (answer !== null && answer.state === 'broken') return answer
  if (!isUsable) return isConfigured ? broken(aiSystem, why ?? 'not usable') : note(aiSystem, why ?? 'not usable')
  const usable = `usable, by default with ${defaultModel ?? 'a model that is named'}`
  return answer === null ? ok(aiSystem, usable) : { ...answer, text: `${usable}; ${answer.text}` }
}

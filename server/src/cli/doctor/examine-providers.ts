import type { ProviderSettings } from '../../models/provider-settings.ts'
import { broken, type Finding, note, ok } from './finding.ts'

/** Which providers are usable and why others are not; no provider is asked to answer. */
export async function examineProviders(settings: ProviderSettings): Promise<Finding[]> {
  const { createModelRegistry } = await import('../../models/registry.ts')
  const registry = createModelRegistry({ settings, clock: Date.now })
  try {
    const [listings, chosen] = await Promise.all([registry.list(), registry.resolveDefault()])
    const findings = listings.map(({ aiSystem, isUsable, why, defaultModel }): Finding => {
      if (isUsable) return ok(aiSystem, `usable, by default with ${defaultModel ?? 'a model that is named'}`)
      return note(aiSystem, why ?? 'not usable')
    })
    const isUsable = listings.some(({ aiSystem, isUsable }) => aiSystem === chosen.aiSystem && isUsable)
    return [...findings, (isUsable ? ok : broken)('default', chosen.why)]
  } finally {
    await registry.close()
  }
}

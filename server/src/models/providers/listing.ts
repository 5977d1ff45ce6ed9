import { AI_SYSTEM_FACTS, AI_SYSTEMS, type AiSystem } from '../ai-systems.ts'
import { findObstacle } from '../local/runtime.ts'
import type { DefaultModels } from './default-model.ts'
import { type AskLiveModels, isOwnServer } from './own-servers.ts'
import { missingVariables, type ProviderSettings } from './provider-settings.ts'

/** What may be said of a system before anybody uses it. */
export type Listing = {
  aiSystem: AiSystem
  label: string
  isUsable: boolean
  /** What is in the way, as a sentence; null when nothing is. */
  why: string | null
  /** The same for an operator: it may name addresses and folders of the inside. */
  whyInside: string | null
  defaultModel: string | null
  /** Ids that are known without asking a hosted provider. */
  models: string[]
}

export type ListingOptions = { settings: ProviderSettings; defaults: DefaultModels; liveModels: AskLiveModels }

/** Makes the function that describes every system but `default`. */
export function createListing({ settings, defaults, liveModels }: ListingOptions): () => Promise<Listing[]> {
  async function describe(aiSystem: AiSystem): Promise<Listing> {
    const missing = missingVariables(aiSystem, settings)
    const needs = missing.length === 0 ? '' : `${AI_SYSTEM_FACTS[aiSystem].label} needs ${missing.join(' and ')}.`
    if (aiSystem === 'local') return describeLocal(needs, settings.local)
    if (needs !== '') return unusable(aiSystem, needs, needs)
    const defaultModel = await defaults.modelOf(aiSystem)
    if (!isOwnServer(aiSystem)) return usable(aiSystem, defaultModel, [defaultModel])
    const list = await liveModels(aiSystem)
    if (list.ok) return usable(aiSystem, defaultModel, list.models)
    // A server need not list its models to have one.
    return defaultModel === 'default'
      ? unusable(aiSystem, `${list.why}.`, `${list.whyInside}.`)
      : usable(aiSystem, defaultModel, [defaultModel])
  }

  return () => Promise.all(AI_SYSTEMS.filter((aiSystem) => aiSystem !== 'default').map(describe))
}

function usable(aiSystem: AiSystem, defaultModel: string, models: string[]): Listing {
  const { label } = AI_SYSTEM_FACTS[aiSystem]
  return { aiSystem, label, isUsable: true, why: null, whyInside: null, defaultModel, models }
}

function unusable(aiSystem: AiSystem, why: string, whyInside: string): Listing {
  const { label, defaultModel } = AI_SYSTEM_FACTS[aiSystem]
  const models = defaultModel === null ? [] : [defaultModel]
  return { aiSystem, label, isUsable: false, why, whyInside, defaultModel, models }
}

/** Both things that can be missing are said at once: getting the package takes a while. */
function describeLocal(needs: string, { runtime, sources }: ProviderSettings['local']): Listing {
  const obstacle = findObstacle(runtime)
  const sentences = (reason: string | undefined) =>
    [needs, reason === undefined ? '' : `${reason}.`].filter((sentence) => sentence !== '').join(' ') || null
  const why = sentences(obstacle?.why)
  return {
    aiSystem: 'local',
    label: AI_SYSTEM_FACTS.local.label,
    isUsable: why === null,
    why,
    whyInside: sentences(obstacle?.whyInside),
    defaultModel: sources[0]?.id ?? null,
    models: sources.map(({ id }) => id),
  }
}

import { AI_SYSTEM_FACTS, type AiSystem } from '../ai-systems.ts'
import { isHosted } from '../hosted-providers/providers.ts'
import { configuredDefault } from './default-system.ts'
import { type AskLiveModels, isOwnServer } from './own-servers.ts'
import type { ProviderSettings } from './provider-settings.ts'

/** A system and a model, both as the provider knows them; `model` is `default` while nobody can say which it is. */
export type Target = { aiSystem: AiSystem; model: string }

export type DefaultTarget = Target & { why: string; whyInside: string }

/** What `default` stands for at this moment. None of it fails because of a provider. */
export type DefaultModels = {
  /** The model of a system; `default` while nobody can say which it is. */
  modelOf(aiSystem: AiSystem): Promise<string>
  /** The default and a sentence, for people, that says why; `whyInside` is for an operator. */
  resolveDefault(): Promise<DefaultTarget>
  /** A model that is named together with the default system is kept, except when that is the rehearsal. */
  resolve(aiSystem: AiSystem, model: string | null): Promise<Target>
}

export type DefaultModelsOptions = { settings: ProviderSettings; liveModels: AskLiveModels }

export function createDefaultModels({ settings, liveModels }: DefaultModelsOptions): DefaultModels {
  async function modelOf(aiSystem: AiSystem): Promise<string> {
    if (isHosted(aiSystem)) return settings.hosted[aiSystem].defaultModel ?? factOf(aiSystem)
    if (aiSystem === 'local') return settings.local.sources[0]?.id ?? 'default'
    if (!isOwnServer(aiSystem)) return factOf(aiSystem)
    if (aiSystem === 'openai-compatible' && settings.openaiCompatible.model !== null) {
      return settings.openaiCompatible.model
    }
    const list = await liveModels(aiSystem)
    return list.ok ? (list.models[0] ?? 'default') : 'default'
  }

  async function resolveDefault(): Promise<DefaultTarget> {
    const configured = configuredDefault(settings)
    if (configured !== null) return describe(configured.aiSystem, configured.because, configured.because)
    const ollama = await liveModels('ollama')
    const nobody = 'no provider is configured, and'
    return ollama.ok
      ? describe('ollama', 'it answers', `it answers at ${settings.ollama.baseUrl}`)
      : describe('rehearsal', `${nobody} ${ollama.why}`, `${nobody} ${ollama.whyInside}`)
  }

  async function describe(aiSystem: AiSystem, because: string, becauseInside: string): Promise<DefaultTarget> {
    const isRehearsal = aiSystem === 'rehearsal'
    const model = (isRehearsal ? null : settings.defaultModel) ?? (await modelOf(aiSystem))
    const { label } = AI_SYSTEM_FACTS[aiSystem]
    const withModel = model === 'default' || isRehearsal ? label : `${label} with ${model}`
    return {
      aiSystem,
      model,
      why: `${withModel}, because ${because}.`,
      whyInside: `${withModel}, because ${becauseInside}.`,
    }
  }

  async function resolve(aiSystem: AiSystem, model: string | null): Promise<Target> {
    const isNamed = model !== null && model !== '' && model !== 'default'
    if (aiSystem !== 'default') return { aiSystem, model: isNamed ? model : await modelOf(aiSystem) }
    const target = await resolveDefault()
    return { aiSystem: target.aiSystem, model: isNamed && target.aiSystem !== 'rehearsal' ? model : target.model }
  }

  return { modelOf, resolveDefault, resolve }
}

function factOf(aiSystem: AiSystem): string {
  return AI_SYSTEM_FACTS[aiSystem].defaultModel ?? 'default'
}

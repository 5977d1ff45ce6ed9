import type { Dispatcher } from 'undici'
import type { Clock } from '../../lib/clock.ts'
import { Agent } from '../../lib/undici.ts'
import { AI_SYSTEM_FACTS, AI_SYSTEMS, type AiSystem, type HostedAiSystem, parseAiSystem } from '../ai-systems.ts'
import { createChatCompletionsModel } from '../chat-completions/chat-completions.ts'
import { hideAddresses } from '../errors/hide-addresses.ts'
import type { ErrorSource } from '../errors/provider-errors.ts'
import { createRedactor, type Redact } from '../errors/redact.ts'
import { whyAPage, whyMissing } from '../errors/wrong-address.ts'
import type { Progress } from '../local/hub-store.ts'
import { createLocalModels } from '../local/local-models.ts'
import type { Model } from '../model.ts'
import { ModelError } from '../model-error.ts'
import { createAiSdkModel } from './ai-sdk.ts'
import { configuredDefault } from './default-system.ts'
import { fetchThrough, HOSTED_PROVIDERS } from './hosted-providers.ts'
import { listCompatibleModels, listOllamaModels, type ModelList } from './model-lists.ts'
import { providerAddress } from './provider-address.ts'
import { missingVariables, type ProviderSettings } from './provider-settings.ts'
import { createRehearsalModel } from './rehearsal.ts'

/** Milliseconds for which a server's list of models, or its silence, is believed. */
const LIST_LIFETIME_MS = 5_000

/** Milliseconds that a server has to list its models. */
const LIST_TIMEOUT_MS = 1_500

/** Opened models that are kept. Callers choose the names, so there has to be an end. */
const MAX_OPEN_MODELS = 256

/** A system and a model, both as the provider knows them; `model` is `default` while nobody can say which it is. */
export type Target = { aiSystem: AiSystem; model: string }

export type DefaultTarget = Target & { why: string; whyInside: string }

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

const NO_REASON = { why: null, whyInside: null }
/** Why something cannot be used: for callers, and for an operator, with addresses of the inside. */
type Reasons = { why: string; whyInside: string }
type LiveModels = { ok: true; models: string[] } | ({ ok: false } & Reasons)

export type ModelRegistry = {
  /**
   * The model to call; takes `default` for the system, for the model, or for both. Rejects with a {@link ModelError}
   * (`not_configured`) that names what is missing.
   */
  open(aiSystem: string, model: string): Promise<Model>
  /** The model that was opened last by these names, if any was; another may be by now. */
  opened(aiSystem: string, model: string): Model | undefined
  /**
   * What `default` stands for at this moment. A model that is named together with the default system is kept, except
   * when that is the rehearsal. Never fails because of a provider: what cannot be told yet stays `default`.
   */
  resolve(aiSystem: AiSystem, model: string | null): Promise<Target>
  /** The default and a sentence, for people, that says why; `whyInside` is for an operator. */
  resolveDefault(): Promise<DefaultTarget>
  /** Every system but `default`. */
  list(): Promise<Listing[]>
  /** Begins what the default model needs before it can answer, such as the download of a local one. */
  prepareDefault(): Promise<void>
  /** Closes the connections, running ones too, and the local models. */
  close(): Promise<void>
}

export type ModelRegistryOptions = {
  settings: ProviderSettings
  /** Keeps the connections. One that is given is not closed by `close()`. */
  dispatcher?: Dispatcher
  clock: Clock
  /** Told how far the download of a local model is. */
  onDownload?: (progress: Progress) => void
}

/** Systems whose packages write the name of the model into the path of the request as it is. */
const IN_PATH: ReadonlySet<AiSystem> = new Set(['google', 'azure-openai', 'bedrock'])

/** Whether a name cannot lead to another path of the same host, which would get the key too. */
function isPlainStep(model: string): boolean {
  return !/(?:^|\/)\.{0,2}(?:\/|$)|[\s?#\\%]/.test(model)
}

/** The only place that knows which code talks to which system. */
export function createModelRegistry(options: ModelRegistryOptions): ModelRegistry {
  const { settings, dispatcher, clock, onDownload = () => {} } = options
  // HTTP/1.1: closing the connection is then what aborting a call does, and one slow reply cannot hold up another.
  const connections = dispatcher ?? new Agent({ allowH2: false })
  const hideSecrets = createRedactor(settings.secrets)
  const redact: Redact = (text) => hideAddresses(hideSecrets(text), settings.ownUrls)
  const openProviders = new Map<HostedAiSystem, ReturnType<(typeof HOSTED_PROVIDERS)[HostedAiSystem]>>()
  const openModels = new Map<string, Model>()
  /** By the names that were asked for. */
  const lastOpened = new Map<string, Model>()
  const local = createLocalModels({ settings: settings.local, dispatcher: connections, onProgress: onDownload })
  const listOptions = { dispatcher: connections, timeoutMs: LIST_TIMEOUT_MS }
  const ollamaModels = rememberFor(LIST_LIFETIME_MS, clock, () =>
    listOllamaModels({ baseUrl: settings.ollama.baseUrl, ...listOptions }),
  )
  const compatibleModels = rememberFor(LIST_LIFETIME_MS, clock, async (): Promise<ModelList> => {
    const { baseUrl, apiKey } = settings.openaiCompatible
    return baseUrl === null
      ? { ok: false, why: 'is not configured' }
      : listCompatibleModels({ baseUrl, apiKey, ...listOptions })
  })

  async function liveModels(aiSystem: 'ollama' | 'openai-compatible'): Promise<LiveModels> {
    const list = await (aiSystem === 'ollama' ? ollamaModels() : compatibleModels())
    if (list.ok) return list
    const address = providerAddress(aiSystem, settings)
    const question = list.isPage ? whyAPage(address) : list.isElsewhere ? whyMissing(address) : null
    return {
      ok: false,
      ...notAnswering(aiSystem, question === null ? list.why : `${list.why} (${question})`, settings),
    }
  }

  /** `default` for "nobody can say yet". */
  async function defaultModelOf(aiSystem: AiSystem): Promise<string> {
    if (aiSystem === 'azure-openai' && settings.azureOpenai.deployment !== null) return settings.azureOpenai.deployment
    if (aiSystem === 'bedrock') return settings.bedrock.defaultModel
    if (aiSystem === 'local') return local.ids()[0] ?? 'default'
    if (aiSystem === 'openai-compatible' && settings.openaiCompatible.model !== null)
      return settings.openaiCompatible.model
    if (aiSystem === 'ollama' || aiSystem === 'openai-compatible') {
      const list = await liveModels(aiSystem)
      return list.ok ? (list.models[0] ?? 'default') : 'default'
    }
    return AI_SYSTEM_FACTS[aiSystem].defaultModel ?? 'default'
  }

  async function resolveDefault(): Promise<DefaultTarget> {
    const configured = configuredDefault(settings)
    if (configured !== null) return describeDefault(configured.aiSystem, configured.because, configured.because)
    const ollama = await liveModels('ollama')
    const nobody = 'no provider is configured, and'
    return ollama.ok
      ? describeDefault('ollama', 'it answers', `it answers at ${settings.ollama.baseUrl}`)
      : describeDefault('rehearsal', `${nobody} ${ollama.why}`, `${nobody} ${ollama.whyInside}`)
  }

  async function describeDefault(aiSystem: AiSystem, because: string, inside: string): Promise<DefaultTarget> {
    const named = aiSystem === 'rehearsal' ? null : settings.defaultModel
    const model = named ?? (await defaultModelOf(aiSystem))
    const { label } = AI_SYSTEM_FACTS[aiSystem]
    const withModel = model === 'default' || aiSystem === 'rehearsal' ? label : `${label} with ${model}`
    const [why, whyInside] = [because, inside].map((reason) => `${withModel}, because ${reason}.`) as [string, string]
    return { aiSystem, model, why, whyInside }
  }

  async function resolve(aiSystem: AiSystem, model: string | null): Promise<Target> {
    const isNamed = model !== null && model !== '' && model !== 'default'
    if (aiSystem !== 'default') return { aiSystem, model: isNamed ? model : await defaultModelOf(aiSystem) }
    const target = await resolveDefault()
    return { aiSystem: target.aiSystem, model: isNamed && target.aiSystem !== 'rehearsal' ? model : target.model }
  }

  async function open(aiSystem: string, model: string): Promise<Model> {
    const known = parseAiSystem(aiSystem)
    if (known === null) throw notConfigured('default', `"${aiSystem}" is no AI system`)
    const target = await resolve(known, model)
    const key = `${target.aiSystem} ${target.model}`
    const opened = openModels.get(key) ?? (await create(target))
    if (openModels.size >= MAX_OPEN_MODELS && !openModels.has(key)) openModels.clear()
    openModels.set(key, opened)
    if (lastOpened.size >= MAX_OPEN_MODELS) lastOpened.clear()
    lastOpened.set(`${aiSystem} ${model}`, opened)
    return opened
  }

  async function create({ aiSystem, model }: Target): Promise<Model> {
    const missing = missingVariables(aiSystem, settings)
    if (missing.length > 0) throw notConfigured(aiSystem, `${aiSystem} is not configured: set ${missing.join(' and ')}`)
    if (aiSystem === 'default') throw notConfigured(aiSystem, 'nobody knows what the default is')
    if (aiSystem === 'local') return local.open(model)
    if (IN_PATH.has(aiSystem) && !isPlainStep(model)) {
      throw new ModelError('refused', `"${model}" is no name of a model of ${aiSystem}`, { aiSystem })
    }
    if (aiSystem === 'rehearsal') return createRehearsalModel(model)
    const source: ErrorSource = {
      aiSystem,
      label: AI_SYSTEM_FACTS[aiSystem].label,
      redact,
      address: providerAddress(aiSystem, settings),
    }
    if (aiSystem === 'ollama' || aiSystem === 'openai-compatible') {
      if (model === 'default') await throwNoModel(aiSystem)
      const server = compatibleServer(aiSystem, settings)
      return createChatCompletionsModel({ ...source, ...server, model, dispatcher: connections })
    }
    const openModel = await provider(aiSystem)
    return createAiSdkModel({ ...source, model: openModel(model) })
  }

  async function throwNoModel(aiSystem: 'ollama' | 'openai-compatible'): Promise<never> {
    const list = await liveModels(aiSystem)
    if (list.ok) throw notConfigured(aiSystem, `${aiSystem} has no model`)
    throw notConfigured(aiSystem, list.why, new Error(list.whyInside))
  }

  function provider(aiSystem: HostedAiSystem): ReturnType<(typeof HOSTED_PROVIDERS)[HostedAiSystem]> {
    const loading = openProviders.get(aiSystem) ?? HOSTED_PROVIDERS[aiSystem](settings, fetchThrough(connections))
    openProviders.set(aiSystem, loading)
    loading.catch(() => openProviders.delete(aiSystem))
    return loading
  }

  async function describe(aiSystem: AiSystem): Promise<Listing> {
    const { label } = AI_SYSTEM_FACTS[aiSystem]
    const missing = missingVariables(aiSystem, settings)
    const unusable = (why: string, whyInside = why): Listing => {
      const { defaultModel } = AI_SYSTEM_FACTS[aiSystem]
      return {
        aiSystem,
        label,
        isUsable: false,
        ...{ why, whyInside },
        defaultModel,
        models: defaultModel === null ? [] : [defaultModel],
      }
    }
    const needs = missing.length === 0 ? '' : `${label} needs ${missing.join(' and ')}.`
    if (aiSystem === 'local') return describeLocal(needs)
    if (needs !== '') return unusable(needs)
    const defaultModel = await defaultModelOf(aiSystem)
    const usable: Listing = { aiSystem, label, isUsable: true, ...NO_REASON, defaultModel, models: [defaultModel] }
    if (aiSystem !== 'ollama' && aiSystem !== 'openai-compatible') return usable
    const list = await liveModels(aiSystem)
    if (list.ok) return { ...usable, models: list.models }
    // A server need not list its models to have one.
    return defaultModel === 'default' ? unusable(`${list.why}.`, `${list.whyInside}.`) : usable
  }

  /** Both things that can be missing are said at once: getting the package takes a while. */
  function describeLocal(needs: string): Listing {
    const obstacle = local.obstacle()
    const sentences = (reason: string | undefined) =>
      [needs, reason === undefined ? '' : `${reason}.`].filter((sentence) => sentence !== '').join(' ') || null
    const [why, whyInside] = [sentences(obstacle?.why), sentences(obstacle?.whyInside)]
    const models = local.ids()
    const { label } = AI_SYSTEM_FACTS.local
    const defaultModel = models[0] ?? null
    return { aiSystem: 'local', label, isUsable: why === null, why, whyInside, defaultModel, models }
  }

  return {
    open,
    opened: (aiSystem, model) => lastOpened.get(`${aiSystem} ${model}`),
    resolve,
    resolveDefault,
    list: () => Promise.all(AI_SYSTEMS.filter((aiSystem) => aiSystem !== 'default').map(describe)),
    prepareDefault: async () => {
      const { aiSystem, model } = await resolveDefault()
      if (aiSystem === 'local') await local.prepare(model)
    },
    close: async () => {
      await local.close()
      if (dispatcher === undefined) await connections.destroy()
    },
  }
}

function compatibleServer(aiSystem: 'ollama' | 'openai-compatible', settings: ProviderSettings) {
  return aiSystem === 'ollama'
    ? { baseUrl: `${settings.ollama.baseUrl}/v1`, apiKey: null }
    : { baseUrl: settings.openaiCompatible.baseUrl ?? '', apiKey: settings.openaiCompatible.apiKey }
}

function notAnswering(aiSystem: 'ollama' | 'openai-compatible', why: string, settings: ProviderSettings): Reasons {
  if (aiSystem === 'ollama') {
    return { why: `Ollama ${why}`, whyInside: `Ollama ${why} at ${settings.ollama.baseUrl}` }
  }
  const hint = `${why}; OPENAI_COMPATIBLE_MODEL can name one`
  return {
    why: `The OpenAI-compatible server ${hint}`,
    whyInside: `The server at ${settings.openaiCompatible.baseUrl} ${hint}`,
  }
}

function notConfigured(aiSystem: AiSystem, message: string, cause?: Error): ModelError {
  return new ModelError('not_configured', message, { aiSystem, cause })
}

/** Asks again only after `ms` milliseconds; whoever asks meanwhile shares the answer, or waits for the same one. */
function rememberFor<T>(ms: number, clock: Clock, ask: () => Promise<T>): () => Promise<T> {
  let answer: Promise<T> | null = null
  let askedAt = 0
  return () => {
    if (answer === null || clock() - askedAt >= ms) {
      askedAt = clock()
      answer = ask()
    }
    return answer
  }
}

import type { Dispatcher } from 'undici'
import type { Clock } from '../../lib/clock.ts'
import { Agent } from '../../lib/undici.ts'
import { AI_SYSTEM_FACTS, type AiSystem, parseAiSystem } from '../ai-systems.ts'
import { hideAddresses } from '../errors/hide-addresses.ts'
import type { ErrorSource } from '../errors/provider-errors.ts'
import { createRedactor, type Redact } from '../errors/redact.ts'
import type { OpenModel } from '../hosted-providers/hosted-provider.ts'
import { findHostedProvider, type HostedAiSystem } from '../hosted-providers/providers.ts'
import type { Progress } from '../local/hub-store.ts'
import type { LocalModels } from '../local/local-models.ts'
import type { Model } from '../model.ts'
import { ModelError } from '../model-error.ts'
import { createDefaultModels, type DefaultModels, type Target } from './default-model.ts'
import { createListing, type Listing } from './listing.ts'
import { createLiveModels, isOwnServer, type OwnServer, serverOf } from './own-servers.ts'
import { providerAddress } from './provider-address.ts'
import { missingVariables, type ProviderSettings } from './provider-settings.ts'
import { createRehearsalModel } from './rehearsal.ts'

/** Opened models that are kept. Callers choose the names, so there has to be an end. */
const MAX_OPEN_MODELS = 256

export type ModelRegistry = Pick<DefaultModels, 'resolve' | 'resolveDefault'> & {
  /**
   * The model to call; takes `default` for the system, for the model, or for both. Rejects with a {@link ModelError}
   * (`not_configured`) that names what is missing.
   */
  open(aiSystem: string, model: string): Promise<Model>
  /** The model that was opened last by these names, if any was; another may be by now. */
  opened(aiSystem: string, model: string): Model | undefined
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

/** The only place that knows which code talks to which system. */
export function createModelRegistry(options: ModelRegistryOptions): ModelRegistry {
  const { settings, dispatcher, clock, onDownload = () => {} } = options
  // HTTP/1.1: closing the connection is then what aborting a call does, and one slow reply cannot hold up another.
  const connections = dispatcher ?? new Agent({ allowH2: false })
  const hideSecrets = createRedactor(settings.secrets)
  const redact: Redact = (text) => hideAddresses(hideSecrets(text), settings.ownUrls)
  const openProviders = new Map<HostedAiSystem, Promise<OpenModel>>()
  const openModels = new Map<string, Model>()
  /** By the names that were asked for. */
  const lastOpened = new Map<string, Model>()
  let local: Promise<LocalModels> | null = null
  const liveModels = createLiveModels({ settings, dispatcher: connections, clock })
  const defaults = createDefaultModels({ settings, liveModels })

  async function open(aiSystem: string, model: string): Promise<Model> {
    const known = parseAiSystem(aiSystem)
    if (known === null) throw notConfigured('default', `"${aiSystem}" is no AI system`)
    const target = await defaults.resolve(known, model)
    const key = `${target.aiSystem} ${target.model}`
    const opened = openModels.get(key) ?? (await create(target))
    if (openModels.size >= MAX_OPEN_MODELS && !openModels.has(key)) openModels.clear()
    openModels.set(key, opened)
    if (lastOpened.size >= MAX_OPEN_MODELS) lastOpened.clear()
    lastOpened.set(`${aiSystem} ${model}`, opened)
    return opened
  }

  /** Happens once for each model, so what talks to its system is loaded here: a server uses one or two of them. */
  async function create({ aiSystem, model }: Target): Promise<Model> {
    const missing = missingVariables(aiSystem, settings)
    if (missing.length > 0) throw notConfigured(aiSystem, `${aiSystem} is not configured: set ${missing.join(' and ')}`)
    if (aiSystem === 'default') throw notConfigured(aiSystem, 'nobody knows what the default is')
    if (aiSystem === 'local') return (await localModels()).open(model)
    if (aiSystem === 'rehearsal') return createRehearsalModel(model)
    const address = providerAddress(aiSystem, settings)
    const source: ErrorSource = { aiSystem, label: AI_SYSTEM_FACTS[aiSystem].label, redact, address }
    if (isOwnServer(aiSystem)) {
      if (model === 'default') await throwNoModel(aiSystem)
      const server = serverOf(aiSystem, settings)
      const { createChatCompletionsModel } = await import('../chat-completions/chat-completions.ts')
      return createChatCompletionsModel({ ...source, ...server, model, dispatcher: connections })
    }
    if (findHostedProvider(aiSystem)?.isModelInPath && !isPlainStep(model)) {
      throw new ModelError('refused', `"${model}" is no name of a model of ${aiSystem}`, { aiSystem })
    }
    const openModel = await openProvider(aiSystem)
    const { createAiSdkModel } = await import('../ai-sdk/ai-sdk.ts')
    return createAiSdkModel({ ...source, model: openModel(model) })
  }

  async function throwNoModel(server: OwnServer): Promise<never> {
    const list = await liveModels(server)
    if (list.ok) throw notConfigured(server, `${server} has no model`)
    throw notConfigured(server, list.why, new Error(list.whyInside))
  }

  function openProvider(aiSystem: HostedAiSystem): Promise<OpenModel> {
    const loading = openProviders.get(aiSystem) ?? loadProvider(aiSystem)
    openProviders.set(aiSystem, loading)
    loading.catch(() => openProviders.delete(aiSystem))
    return loading
  }

  async function loadProvider(aiSystem: HostedAiSystem): Promise<OpenModel> {
    const { fetchThrough } = await import('../ai-sdk/provider-fetch.ts')
    return settings.hosted[aiSystem].load(fetchThrough(connections))
  }

  /** What runs models in this process. */
  function localModels(): Promise<LocalModels> {
    local ??= import('../local/local-models.ts').then(({ createLocalModels }) =>
      createLocalModels({ settings: settings.local, dispatcher: connections, onProgress: onDownload }),
    )
    return local
  }

  return {
    open,
    opened: (aiSystem, model) => lastOpened.get(`${aiSystem} ${model}`),
    resolve: defaults.resolve,
    resolveDefault: defaults.resolveDefault,
    list: createListing({ settings, defaults, liveModels }),
    prepareDefault: async () => {
      const { aiSystem, model } = await defaults.resolveDefault()
      if (aiSystem === 'local') await (await localModels()).prepare(model)
    },
    close: async () => {
      await (await local)?.close()
      if (dispatcher === undefined) await connections.destroy()
    },
  }
}

/** Whether a name cannot lead to another path of the same host, which would get the key too. */
function isPlainStep(model: string): boolean {
  return !/(?:^|\/)\.{0,2}(?:\/|$)|[\s?#\\%]/.test(model)
}

function notConfigured(aiSystem: AiSystem, message: string, cause?: Error): ModelError {
  return new ModelError('not_configured', message, { aiSystem, cause })
}

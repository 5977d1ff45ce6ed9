import { existsSync } from 'node:fs'
import type { Dispatcher } from 'undici'
import type { Path } from '../../lib/fairness/fair-line.ts'
import { hideAddresses } from '../errors/hide-addresses.ts'
import { abortedError } from '../errors/provider-errors.ts'
import type { Model, ModelRequest, ModelResult } from '../model.ts'
import { ModelError, type ModelErrorKind } from '../model-error.ts'
import { type CallQueue, CallQueueFullError, createCallQueue } from './call-queue.ts'
import { reasonOf } from './file-download.ts'
import { generateReply, type Listener } from './generation.ts'
import { createHubStore, type Progress } from './hub-store.ts'
import { createLoadedModels, type LoadedModels } from './loaded-models.ts'
import type { LocalSettings, LocalSource } from './local-settings.ts'
import { createModelDownloads } from './model-downloads.ts'
import { findRuntime, loadRuntime } from './runtime.ts'

const SOURCE = { aiSystem: 'local', label: 'The local model' }

/** Milliseconds after which somebody may ask again for a model that is being downloaded. */
const DOWNLOAD_RETRY_AFTER_MS = 30_000

export type LocalModels = {
  /** Throws a {@link ModelError} (`not_configured`). Loads nothing yet. */
  open(id: string): Model
  /** Begins to download the model if it has to be. Never fails: who uses the model is told. */
  prepare(id: string): Promise<void>
  /** Names of the models in memory. */
  loaded(): string[]
  /** Ends what runs, and frees the memory. */
  close(): Promise<void>
}

export type LocalModelsOptions = {
  settings: LocalSettings
  dispatcher: Dispatcher
  onProgress(progress: Progress): void
  /** Milliseconds that only ever grow. */
  now?: () => number
  /** Milliseconds before a broken download goes on. */
  pauseMs?: number
}

/** GGUF models that run in this process, through the optional package `node-llama-cpp`. */
export function createLocalModels(options: LocalModelsOptions): LocalModels {
  const { settings, dispatcher, onProgress, now = () => performance.now(), pauseMs } = options
  const takeProgress = (progress: Progress) => {
    downloads.note(progress)
    onProgress(progress)
  }
  const patience = pauseMs === undefined ? {} : { pauseMs }
  const store = createHubStore({ settings, dispatcher, onProgress: takeProgress, ...patience })
  const downloads = createModelDownloads({ store, now })
  const shown = (words: string) => hideAddresses(words, [settings.hubUrl])
  const models = new Map<string, Model>()
  const running = new Set<Promise<unknown>>()
  const closing = new AbortController()
  let memory: LoadedModels | null = null

  /** Made when it is first needed: the package may be installed while the server runs. */
  function openMemory(): LoadedModels {
    const runtime = findRuntime(settings.runtime)
    if (!runtime.ok) throw failed('not_configured', runtime.why, { cause: new Error(runtime.whyInside) })
    memory ??= createLoadedModels({ ...settings, runtime, load: loadRuntime })
    return memory
  }

  function find(id: string): LocalSource {
    const source = settings.sources.find((one) => one.id === id)
    if (source === undefined) {
      throw failed('not_configured', `There is no local model "${id}": DRAMATIS_LOCAL_MODELS does not name it`)
    }
    return source
  }

  function open(id: string): Model {
    const source = find(id)
    openMemory()
    const model = models.get(id) ?? createModel(source, createCallQueue({ most: settings.queue, now }))
    models.set(id, model)
    return model
  }

  function createModel(source: LocalSource, queue: CallQueue): Model {
    return {
      aiSystem: SOURCE.aiSystem,
      model: source.id,
      async generate(request, onText, onActivity = () => {}, onThought = onActivity) {
        const signal = AbortSignal.any([request.signal, closing.signal])
        const answering = answer(source, queue, request, { onText, onActivity, onThought }, signal)
        running.add(answering)
        try {
          return await answering
        } catch (error) {
          if (request.signal.aborted) throw abortedError(SOURCE, error)
          if (closing.signal.aborted) throw failed('unavailable', 'The server is stopping', { cause: error })
          throw error
        } finally {
          running.delete(answering)
        }
      },
    }
  }

  async function answer(
    source: LocalSource,
    queue: CallQueue,
    request: ModelRequest,
    listener: Listener,
    signal: AbortSignal,
  ): Promise<ModelResult> {
    signal.throwIfAborted()
    if (request.tools?.length && !request.mustAnswer) throw failed('refused', 'A local model cannot call tools')
    const path = await pathOf(source)
    const { organizationId = '', keyId = null } = request.caller ?? {}
    const leave = await enter(source, queue, [organizationId, keyId ?? ''], signal)
    try {
      const inMemory = openMemory()
      const loaded = await inMemory.use(source.id, path).catch((error) => {
        if (signal.aborted) throw error
        // Where the file is concerns nobody who calls.
        const why = shown(reasonOf(error).replaceAll(path, source.id))
        const message = `The local model ${source.id} cannot be loaded: ${why}`
        throw failed('failed', message, { cause: error, retryable: false })
      })
      try {
        return await generateReply(loaded, request, listener, signal)
      } catch (error) {
        if (error instanceof ModelError || signal.aborted) throw error
        throw failed('failed', `The local model ${source.id} failed: ${shown(reasonOf(error))}`, { cause: error })
      } finally {
        inMemory.release(source.id)
      }
    } finally {
      leave()
    }
  }

  async function pathOf(source: LocalSource): Promise<string> {
    if (source.kind === 'file') {
      if (existsSync(source.path)) return source.path
      throw failed('not_configured', `The file of the local model ${source.id} is not there`)
    }
    const state = await downloads.state(source)
    if (state.kind === 'here') return state.path
    if (state.kind === 'failed')
      throw failed('failed', `${source.id} cannot be downloaded: ${shown(state.why)}`, { retryable: false })
    const message = `${source.id} is being downloaded (${state.percent} %)`
    throw failed('unavailable', message, { retryAfterMs: DOWNLOAD_RETRY_AFTER_MS })
  }

  async function enter({ id }: LocalSource, queue: CallQueue, path: Path, signal: AbortSignal): Promise<() => void> {
    try {
      return await queue.enter(path, signal)
    } catch (error) {
      if (!(error instanceof CallQueueFullError)) throw error
      const message = `The local model ${id} is busy, and its line of ${settings.queue} is full`
      throw failed('unavailable', message, { retryAfterMs: error.waitMs })
    }
  }

  return {
    open,
    async prepare(id) {
      const source = settings.sources.find((one) => one.id === id)
      if (source?.kind === 'hub' && findRuntime(settings.runtime).ok) await downloads.state(source)
    },
    loaded: () => memory?.names() ?? [],
    async close() {
      closing.abort(new Error('the server is stopping'))
      await downloads.close()
      // Memory is not taken away from under a reply that notices the end only at its next token.
      await Promise.allSettled(running)
      await memory?.close()
    },
  }
}

function failed(
  kind: ModelErrorKind,
  message: string,
  more: { retryAfterMs?: number; retryable?: boolean; cause?: unknown } = {},
): ModelError {
  return new ModelError(kind, message, { aiSystem: SOURCE.aiSystem, ...more })
}

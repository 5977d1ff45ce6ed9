import { setTimeout as wait } from 'node:timers/promises'
import type { FoundRuntime, Llama, LlamaChat, LlamaModel, LlamaModule, LlamaSequence } from './runtime.ts'

/** Milliseconds that the library has to let go: after a file that it could not load it sometimes never does. */
const DISPOSE_MS = 2_000

/** A model in memory, with room for one conversation at a time. */
export type LoadedModel = {
  llama: Llama
  model: LlamaModel
  contextSize: number
  sequence: LlamaSequence
  startChat(): LlamaChat
  dispose(): Promise<void>
}

export type LoadedModels = {
  /** Loads the file unless it is loaded. `id` must be in use by nobody else until `release`. */
  use(id: string, path: string): Promise<LoadedModel>
  /** The model stays for a while, in case somebody comes. */
  release(id: string): void
  /** Names of what is loaded. */
  names(): string[]
  close(): Promise<void>
}

export type LoadedModelsOptions = {
  runtime: Extract<FoundRuntime, { ok: true }>
  load(entry: string): Promise<{ module: LlamaModule; llama: Llama }>
  contextSize: number
  threads: number
  idleMs: number
}

type Place = { loading: Promise<LoadedModel>; uses: number; timer: NodeJS.Timeout | null }

/** Keeps models in memory while they are used, and for `idleMs` after that. */
export function createLoadedModels({ runtime, load, contextSize, threads, idleMs }: LoadedModelsOptions): LoadedModels {
  const places = new Map<string, Place>()
  const closing = new AbortController()
  let library: ReturnType<LoadedModelsOptions['load']> | null = null

  function open(): ReturnType<LoadedModelsOptions['load']> {
    library ??= load(runtime.entry)
    library.catch(() => {
      library = null
    })
    return library
  }

  async function loadModel(path: string): Promise<LoadedModel> {
    const { module, llama } = await open()
    closing.signal.throwIfAborted()
    const model = await llama.loadModel({ modelPath: path, loadSignal: closing.signal })
    try {
      const size = Math.min(contextSize, model.trainContextSize)
      const context = await model.createContext({ sequences: 1, contextSize: size, threads })
      const sequence = context.getSequence()
      const startChat = () => new module.LlamaChat({ contextSequence: sequence })
      const dispose = async () => {
        // In this order: the model waits for a context that it no longer knows once that has been collected.
        await context.dispose()
        await model.dispose()
      }
      return { llama, model, contextSize: context.contextSize, sequence, startChat, dispose }
    } catch (error) {
      await model.dispose()
      throw error
    }
  }

  async function loadWithRoom(id: string, path: string): Promise<LoadedModel> {
    try {
      return await loadModel(path)
    } catch (error) {
      const idle = [...places].filter(([other, { uses }]) => other !== id && uses === 0).map(([other]) => other)
      if (!isMemoryError(error) || idle.length === 0) throw error
      await Promise.all(idle.map(unload))
      return loadModel(path)
    }
  }

  async function unload(id: string): Promise<void> {
    const place = places.get(id)
    if (!place) return
    places.delete(id)
    if (place.timer !== null) clearTimeout(place.timer)
    const loaded = await place.loading.catch(() => null)
    await loaded?.dispose()
  }

  async function use(id: string, path: string): Promise<LoadedModel> {
    closing.signal.throwIfAborted()
    const place = places.get(id) ?? { loading: loadWithRoom(id, path), uses: 0, timer: null }
    places.set(id, place)
    place.uses++
    if (place.timer !== null) clearTimeout(place.timer)
    place.timer = null
    try {
      return await place.loading
    } catch (error) {
      places.delete(id)
      throw error
    }
  }

  function release(id: string): void {
    const place = places.get(id)
    if (!place) return
    place.uses--
    if (place.uses > 0) return
    place.timer = setTimeout(() => void unload(id), idleMs)
    place.timer.unref()
  }

  return {
    use,
    release,
    names: () => [...places.keys()],
    async close() {
      closing.abort(new Error('the server is stopping'))
      await Promise.all([...places.keys()].map(unload))
      const opened = await library?.catch(() => null)
      await Promise.race([opened?.llama.dispose(), wait(DISPOSE_MS, undefined, { ref: false })])
    },
  }
}

function isMemoryError(error: unknown): boolean {
  return error instanceof Error && /InsufficientMemory/.test(error.constructor.name)
}

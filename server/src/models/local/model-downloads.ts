import { reasonOf } from './file-download.ts'
import type { HubSource, HubStore } from './hub-store.ts'

/** Milliseconds for which a failure is believed; whoever asks later makes it try again. */
const FAILURE_LIFETIME_MS = 30_000

export type DownloadState =
  | { kind: 'here'; path: string }
  | { kind: 'coming'; percent: number }
  /** `why` is the end of a sentence. */
  | { kind: 'failed'; why: string }

export type ModelDownloads = {
  /** Begins the download if the model is not here. Never fails. */
  state(source: HubSource): Promise<DownloadState>
  /** Takes what is known about the progress of a model. */
  note(progress: { id: string; received: number; total: number }): void
  close(): Promise<void>
}

/** Downloads of whole models. They go on behind the requests that want the model: they take minutes, and each runs once. */
export function createModelDownloads({ store, now }: { store: HubStore; now: () => number }): ModelDownloads {
  const running = new Map<string, Promise<void>>()
  const percents = new Map<string, number>()
  const failures = new Map<string, { why: string; at: number }>()
  const closing = new AbortController()

  async function run(source: HubSource): Promise<void> {
    try {
      await store.fetch(source, closing.signal)
    } catch (error) {
      failures.set(source.id, { why: reasonOf(error), at: now() })
    } finally {
      running.delete(source.id)
    }
  }

  async function state(source: HubSource): Promise<DownloadState> {
    const coming = (): DownloadState => ({ kind: 'coming', percent: percents.get(source.id) ?? 0 })
    if (running.has(source.id)) return coming()
    const path = await store.find(source)
    if (path !== null) return { kind: 'here', path }
    const failure = failures.get(source.id)
    if (failure && now() - failure.at < FAILURE_LIFETIME_MS) return { kind: 'failed', why: failure.why }
    failures.delete(source.id)
    if (!running.has(source.id) && !closing.signal.aborted) running.set(source.id, run(source))
    return coming()
  }

  return {
    state,
    note: ({ id, received, total }) => percents.set(id, total === 0 ? 0 : Math.floor((received / total) * 100)),
    async close() {
      closing.abort(new Error('the server is stopping'))
      await Promise.all(running.values())
    },
  }
}

import type { Dispatcher } from 'undici'
import type { Clock } from '../../lib/clock.ts'
import { whyAPage, whyMissing } from '../errors/wrong-address.ts'
import { listCompatibleModels, listOllamaModels, type ModelList } from './model-lists.ts'
import { providerAddress } from './provider-address.ts'
import type { ProviderSettings } from './provider-settings.ts'

/** Milliseconds for which a server's list of models, or its silence, is believed. */
const LIST_LIFETIME_MS = 5_000

/** Milliseconds that a server has to list its models. */
const LIST_TIMEOUT_MS = 1_500

/** Servers with the Chat Completions API that somebody runs: only they can say which models they have. */
export type OwnServer = 'ollama' | 'openai-compatible'

/** Why something cannot be used: for callers, and for an operator, with addresses of the inside. */
export type Reasons = { why: string; whyInside: string }

export type LiveModels = { ok: true; models: string[] } | ({ ok: false } & Reasons)

/** Which models a server has at this moment; it is not asked every time. Never fails. */
export type AskLiveModels = (server: OwnServer) => Promise<LiveModels>

export type LiveModelsOptions = { settings: ProviderSettings; dispatcher: Dispatcher; clock: Clock }

export function isOwnServer(aiSystem: string): aiSystem is OwnServer {
  return aiSystem === 'ollama' || aiSystem === 'openai-compatible'
}

/** Where a server answers Chat Completions. */
export function serverOf(server: OwnServer, { ollama, openaiCompatible }: ProviderSettings) {
  return server === 'ollama'
    ? { baseUrl: `${ollama.baseUrl}/v1`, apiKey: null }
    : { baseUrl: openaiCompatible.baseUrl ?? '', apiKey: openaiCompatible.apiKey }
}

export function createLiveModels({ settings, dispatcher, clock }: LiveModelsOptions): AskLiveModels {
  const listOptions = { dispatcher, timeoutMs: LIST_TIMEOUT_MS }
  const ollamaModels = rememberFor(LIST_LIFETIME_MS, clock, () =>
    listOllamaModels({ baseUrl: settings.ollama.baseUrl, ...listOptions }),
  )
  const compatibleModels = rememberFor(LIST_LIFETIME_MS, clock, async (): Promise<ModelList> => {
    const { baseUrl, apiKey } = settings.openaiCompatible
    return baseUrl === null
      ? { ok: false, why: 'is not configured' }
      : listCompatibleModels({ baseUrl, apiKey, ...listOptions })
  })

  return async (server) => {
    const list = await (server === 'ollama' ? ollamaModels() : compatibleModels())
    if (list.ok) return list
    const address = providerAddress(server, settings)
    const question = list.isPage ? whyAPage(address) : list.isElsewhere ? whyMissing(address) : null
    const why = question === null ? list.why : `${list.why} (${question})`
    return { ok: false, ...notAnswering(server, why, settings) }
  }
}

function notAnswering(server: OwnServer, why: string, settings: ProviderSettings): Reasons {
  if (server === 'ollama') {
    return { why: `Ollama ${why}`, whyInside: `Ollama ${why} at ${settings.ollama.baseUrl}` }
  }
  const hint = `${why}; OPENAI_COMPATIBLE_MODEL can name one`
  return {
    why: `The OpenAI-compatible server ${hint}`,
    whyInside: `The server at ${settings.openaiCompatible.baseUrl} ${hint}`,
  }
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

import type { Dispatcher } from 'undici'
import { isJsonObject, type JsonValue } from '../../lib/json.ts'
import { request } from '../../lib/undici.ts'
import { isWebPage } from '../errors/wrong-address.ts'

/** Bytes of a list that are read. */
const MAX_LIST_BYTES = 4 * 1024 * 1024

/** What a server said it has; `why` is the end of a sentence that begins with the server's name. */
export type ModelList = { ok: true; models: string[] } | NoList

/** `isPage`: it was a web page; `isElsewhere`: as of a server that is there and has no list at this path. */
type NoList = { ok: false; why: string; isPage?: true; isElsewhere?: true }

export type ModelListOptions = { baseUrl: string; dispatcher: Dispatcher; timeoutMs: number }

/** The models of a Chat Completions server: `GET {base}/models` (https://platform.openai.com/docs/api-reference/models). */
export async function listCompatibleModels(options: ModelListOptions & { apiKey: string | null }): Promise<ModelList> {
  const headers = options.apiKey === null ? {} : { authorization: `Bearer ${options.apiKey}` }
  const answer = await getJson(`${options.baseUrl}/models`, headers, options)
  if (!answer.ok) return answer
  const entries = isJsonObject(answer.value) ? answer.value.data : null
  if (!Array.isArray(entries)) return { ok: false, why: 'sent something that is no list of models', isElsewhere: true }
  return listed(entries.map((entry) => (isJsonObject(entry) && typeof entry.id === 'string' ? entry.id : '')))
}

/**
 * The models that Ollama has: `GET /api/tags`, the last used or pulled first
 * (https://github.com/ollama/ollama/blob/main/docs/api.md). Those that only make embeddings are left out.
 */
export async function listOllamaModels(options: ModelListOptions): Promise<ModelList> {
  const answer = await getJson(`${options.baseUrl}/api/tags`, {}, options)
  if (!answer.ok) return answer
  const entries = isJsonObject(answer.value) && Array.isArray(answer.value.models) ? answer.value.models : []
  return listed(entries.map((entry) => (isJsonObject(entry) && !isEmbedder(entry) ? String(entry.name ?? '') : '')))
}

function isEmbedder(entry: { [key: string]: JsonValue }): boolean {
  const family = isJsonObject(entry.details) ? String(entry.details.family ?? '') : ''
  return /bert/i.test(family) || /embed/i.test(String(entry.name ?? ''))
}

function listed(ids: string[]): ModelList {
  const models = ids.filter((id) => id !== '')
  return models.length === 0 ? { ok: false, why: 'has no model' } : { ok: true, models }
}

type Answer = { ok: true; value: JsonValue } | NoList

async function getJson(
  url: string,
  headers: Record<string, string>,
  { dispatcher, timeoutMs }: ModelListOptions,
): Promise<Answer> {
  try {
    const signal = AbortSignal.timeout(timeoutMs)
    const { statusCode, body } = await request(url, { dispatcher, headers, signal })
    const pieces: Buffer[] = []
    let bytes = 0
    for await (const piece of body) {
      bytes += (piece as Buffer).length
      if (bytes > MAX_LIST_BYTES) return { ok: false, why: 'sent a list of models that is too long' }
      pieces.push(piece as Buffer)
    }
    const text = Buffer.concat(pieces).toString('utf8')
    const answered = `answered ${statusCode} when asked for its models`
    if (statusCode < 500 && isWebPage(text)) return { ok: false, why: 'answers with a web page', isPage: true }
    if (statusCode === 404) return { ok: false, why: answered, isElsewhere: true }
    if (statusCode !== 200) return { ok: false, why: answered }
    return { ok: true, value: JSON.parse(text) as JsonValue }
  } catch (error) {
    if (error instanceof SyntaxError) return { ok: false, why: 'sent something that is no list of models' }
    return { ok: false, why: 'does not answer' }
  }
}

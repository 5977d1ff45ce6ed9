import { isJsonObject, type JsonObject, type JsonValue } from '../../lib/json.ts'
import { printableLine } from '../../lib/text/printable.ts'
import { Failure } from '../command.ts'
import { reasonOf } from '../reason.ts'
import { readSse, type SseEvent } from './sse-reader.ts'

/** A persona as the chat needs it. */
export type ChatPersona = { id: string; name: string; description: string; variables: ChatVariable[] }
export type ChatVariable = { name: string; description: string | null; isRequired: boolean; hasDefault: boolean }

export type ChatConversation = {
  id: string
  aiSystem: string
  model: string
  greeting: string | null
  /** Names of variables that have no value and print as nothing. */
  unresolved: string[]
}

export type OpenReply = { runId: string; events: AsyncIterable<SseEvent> }

/** What the server said no to, in one line. */
export class ApiError extends Failure {
  readonly status: number

  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

/** Milliseconds that a server has to take the word that a reply is to stop. */
const CANCEL_TIMEOUT_MS = 5_000

export type ChatApi = ReturnType<typeof createChatApi>

/** The endpoints that a chat needs. Every method throws {@link Failure} in one readable line. `signal` ends them all but `cancel`. */
export function createChatApi({ url, key, signal }: { url: string; key: string; signal: AbortSignal }) {
  async function call(method: string, path: string, body?: JsonObject): Promise<Response> {
    const response = await reach(method, path, body)
    if (!response.ok) throw await toApiError(response, url)
    return response
  }

  async function reach(method: string, path: string, body?: JsonObject, limit = signal): Promise<Response> {
    try {
      return await fetch(url + path, {
        method,
        signal: limit,
        headers: { 'x-hl-api-key': key, ...(body ? { 'content-type': 'application/json' } : {}) },
        ...(body ? { body: JSON.stringify(body) } : {}),
      })
    } catch (error) {
      // Whoever leaves wants to know nothing more.
      if (signal.aborted) throw error
      throw new Failure(`cannot reach a server at ${url}: ${reasonOf(error)}`)
    }
  }

  async function callJson(method: string, path: string, body?: JsonObject) {
    const response = await call(method, path, body)
    const answer = (await response.json().catch(() => null)) as JsonValue
    if (!isJsonObject(answer)) throw new Failure(`what answers at ${url} is no Dramatis server`)
    return { answer, headers: response.headers }
  }

  return {
    /** The personas that can be talked to, newest first. */
    async personas(): Promise<ChatPersona[]> {
      const found: ChatPersona[] = []
      let token: string | null = null
      do {
        const query = new URLSearchParams({ pageSize: '100', ...(token === null ? {} : { continuationToken: token }) })
        const { answer }: { answer: JsonObject } = await callJson('GET', `/personas?${query}`)
        const page = Array.isArray(answer['data']) ? answer['data'].filter(isJsonObject) : []
        found.push(...page.filter((one) => one['isActive'] && one['isApiEnabled']).map(toPersona))
        token = typeof answer['continuationToken'] === 'string' ? answer['continuationToken'] : null
      } while (token !== null)
      return found
    },

    async start(personaId: string, replacements: Readonly<Record<string, string>>): Promise<ChatConversation> {
      const { answer, headers } = await callJson('POST', '/conversations/persona', { personaId, replacements })
      const messages = Array.isArray(answer['chatMessages']) ? answer['chatMessages'].filter(isJsonObject) : []
      const greeting = messages.find((message) => message['role'] === 'assistant')?.['content']
      const unresolved = headers.get('x-dramatis-unresolved-variables')
      return {
        id: String(answer['conversationId']),
        aiSystem: String(answer['aiSystem']),
        model: String(answer['model']),
        greeting: typeof greeting === 'string' ? greeting : null,
        unresolved: unresolved === null ? [] : unresolved.split(', ').map(decoded),
      }
    },

    /** Sends a message; resolves when the reply begins. */
    async send(conversationId: string, message: string): Promise<OpenReply> {
      const response = await call('POST', `/conversations/${conversationId}/chat-sse`, { message })
      const runId = response.headers.get('x-dramatis-run-id')
      if (runId === null || response.body === null) throw new Failure(`what answers at ${url} is no Dramatis server`)
      return { runId, events: readEvents(response.body) }
    },

    /** Stops a reply; what it has said so far stays. Goes on when the person leaves, or the reply would too. */
    async cancel(conversationId: string, runId: string): Promise<void> {
      const path = `/conversations/${conversationId}/runs/${runId}/cancel`
      const response = await reach('POST', path, undefined, AbortSignal.timeout(CANCEL_TIMEOUT_MS))
      if (!response.ok) throw await toApiError(response, url)
      await response.body?.cancel()
    },
  }
}

async function* readEvents(body: AsyncIterable<Uint8Array>): AsyncGenerator<SseEvent> {
  try {
    yield* readSse(body)
  } catch (error) {
    throw new Failure(`the connection broke in the middle of the reply: ${reasonOf(error)}`)
  }
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

function toPersona(dto: JsonObject): ChatPersona {
  const configuration = dto['personaConfiguration']
  const variables = isJsonObject(configuration) ? configuration['variables'] : null
  return {
    id: String(dto['personaId']),
    name: String(dto['personaName']),
    description: String(dto['personaDescription'] ?? ''),
    variables: isJsonObject(variables) ? Object.entries(variables).map(([name, rule]) => toVariable(name, rule)) : [],
  }
}

function toVariable(name: string, rule: JsonValue): ChatVariable {
  const { description, required, default: fallback } = isJsonObject(rule) ? rule : {}
  return {
    name,
    description: typeof description === 'string' ? description : null,
    isRequired: required === true,
    hasDefault: fallback !== undefined,
  }
}

async function toApiError(response: Response, url: string): Promise<ApiError> {
  const body = (await response.json().catch(() => null)) as JsonValue
  const text = describeErrorBody(body) ?? `${url} answered ${response.status} ${response.statusText}`.trim()
  return new ApiError(response.status, text)
}

/** The message of an error body with the details that it does not name already; null when it is none. */
export function describeErrorBody(body: JsonValue): string | null {
  const error = isJsonObject(body) ? body['error'] : null
  if (!isJsonObject(error) || typeof error['message'] !== 'string') return null
  const { message, details } = error
  const issues = (Array.isArray(details) ? details.filter(isJsonObject) : [])
    .map(({ field, issue }) => `${field} ${issue}`)
    .filter((issue) => !message.includes(issue))
  return printableLine(issues.length > 0 ? `${message} (${issues.join('; ')})` : message)
}

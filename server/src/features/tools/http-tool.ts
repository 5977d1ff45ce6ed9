import type { Dispatcher } from 'undici'
import type { JsonObject, JsonValue } from '../../lib/json.ts'
import { fetchText, type TextAnswer, type TextRequest, TooManyRedirects } from '../../net/fetch-text.ts'
import { forbiddenIn } from '../../net/guarded-agent.ts'
import { FIELD, SECRET } from './check-tools.ts'
import type { CheckValue } from './outside-schemas.ts'
import { type ServerTool, ToolError } from './server-tool.ts'
import type { HttpTool } from './tool-settings.ts'

/** Milliseconds that a request may take where the tool does not say. */
export const DEFAULT_TIMEOUT_MS = 30_000
/** Bytes of an answer that are read where the tool does not say; the model gets to see fewer. */
const DEFAULT_MAX_BYTES = 262_144
/** UTF-16 units of an error's body that the model gets to see. */
const SHOWN_OF_ERROR = 2_000

/** Puts secrets into the headers of a tool. Throws a {@link ToolError} for one that there is not. */
export type FillHeaders = (
  headers: Record<string, string>,
) => Promise<{ headers: Record<string, string>; secrets: string[] }>

/** A tool that is a request of the server. */
export function createHttpTool(
  tool: HttpTool,
  deps: { dispatcher: Dispatcher; fillHeaders: FillHeaders; checkValue: CheckValue },
): ServerTool {
  const { dispatcher, fillHeaders, checkValue } = deps

  async function send(request: TextRequest, signal: AbortSignal): Promise<TextAnswer> {
    const timeoutMs = tool.timeoutMs ?? DEFAULT_TIMEOUT_MS
    const timeout = AbortSignal.timeout(timeoutMs)
    const options = {
      dispatcher,
      signal: AbortSignal.any([signal, timeout]),
      maxBytes: tool.maxBytes ?? DEFAULT_MAX_BYTES,
    }
    try {
      return await fetchText(request, options)
    } catch (error) {
      if (signal.aborted) throw error
      if (timeout.aborted) throw new ToolError(`there was no answer within ${timeoutMs} ms.`)
      throw new ToolError(whyNot(error), { cause: error })
    }
  }

  return {
    requiresApproval: tool.requiresApproval === true,
    async call(input, signal) {
      const issues = await checkValue(tool.inputSchema, input)
      if (issues.length > 0) {
        const told = issues.map((issue) => `input${issue}`).join('; ')
        throw new ToolError(`the input is not as it should be: ${told}.`)
      }
      signal.throwIfAborted()
      const { headers, secrets } = await fillHeaders(tool.headers ?? {})
      const request = requestFor(tool, input, headers)
      const answer = await send(request, signal).catch((error: unknown) => {
        // Only what may be done twice is tried twice.
        if (!tool.idempotent || signal.aborted || forbiddenIn(error)) throw error
        return send(request, signal)
      })
      return toResult(answer, secrets)
    },
  }
}

/** The request for an input: fields of the URL in their places, the rest as query or JSON body. */
export function requestFor(tool: HttpTool, input: JsonObject, headers: Record<string, string>): TextRequest {
  const used = new Set<string>()
  const filled = tool.url.replaceAll(FIELD, (_match, name: string) => {
    used.add(name)
    const value = input[name]
    if (value === undefined || value === null) throw new ToolError(`the input lacks ${name}.`)
    const text = printed(value)
    // As a step of a path these lead somewhere else, however they are written.
    if (/^\.{0,2}$/.test(text)) throw new ToolError(`${name} cannot be "${text}".`)
    return encodeURIComponent(text.toWellFormed())
  })
  const url = new URL(filled)
  const rest = Object.entries(input).filter(([name]) => !used.has(name))
  if (tool.method === 'GET' || tool.method === 'DELETE') {
    for (const [name, value] of rest) {
      if (value === null) continue
      for (const item of Array.isArray(value) ? value : [value]) url.searchParams.append(name, printed(item))
    }
    return { url: url.href, method: tool.method, headers: withDefaults(headers), body: null }
  }
  const body = JSON.stringify(Object.fromEntries(rest))
  const withType = withDefaults({ 'content-type': 'application/json', ...lowerCased(headers) })
  return { url: url.href, method: tool.method, headers: withType, body }
}

function printed(value: JsonValue): string {
  return typeof value === 'string' ? value : JSON.stringify(value)
}

function withDefaults(headers: Record<string, string>): Record<string, string> {
  return { accept: 'application/json, text/*;q=0.9', 'user-agent': 'dramatis', ...lowerCased(headers) }
}

function lowerCased(headers: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]))
}

/** What the model gets to see. A service that gives a secret back does not give it to the model. */
function toResult({ status, contentType, text, isCut }: TextAnswer, secrets: readonly string[]): string {
  if (text !== '' && !/json|xml|text|javascript|yaml|csv|form|^$/i.test(contentType)) {
    throw new ToolError(`the service answered ${status} with ${contentType.slice(0, 100)}, which is no text.`)
  }
  const shown = hideSecrets(text, secrets)
  if (status >= 200 && status < 300)
    return isCut ? `${shown}\n(Cut: the answer is larger than what is read of it.)` : shown
  throw new ToolError(`the service answered ${status}. ${shown.slice(0, SHOWN_OF_ERROR)}`.trim())
}

export function hideSecrets(text: string, secrets: readonly string[]): string {
  return secrets.reduce((hidden, secret) => hidden.replaceAll(secret, '[secret]'), text)
}

function whyNot(error: unknown): string {
  const forbidden = forbiddenIn(error)
  if (forbidden) return `${forbidden.message}.`
  if (error instanceof TooManyRedirects) return `the service cannot be used: ${error.message}.`
  const code = (error as { code?: unknown } | null)?.code
  return typeof code === 'string' ? `the service cannot be reached (${code}).` : 'the service cannot be reached.'
}

/** Fills secrets in. */
export function createFillHeaders(reveal: (name: string) => Promise<string | null>): FillHeaders {
  return async (headers) => {
    const filled: Record<string, string> = {}
    const secrets: string[] = []
    for (const [header, template] of Object.entries(headers)) {
      const values = new Map<string, string>()
      for (const [, inner = ''] of template.matchAll(SECRET)) {
        const name = inner.trim()
        const value = await reveal(name)
        if (value === null) throw new ToolError(`the secret ${name} is not set.`)
        values.set(name, value)
        secrets.push(value)
      }
      filled[header] = template.replaceAll(SECRET, (_match, inner: string) => values.get(inner.trim()) ?? '')
    }
    return { headers: filled, secrets }
  }
}

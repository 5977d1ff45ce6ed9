import type { Dispatcher } from 'undici'
import { parseExactly } from '../../lib/exact-json.ts'
import type { JsonObject, JsonValue } from '../../lib/json.ts'
import { fetchText, type TextAnswer, type TextRequest, TooManyRedirects } from '../../net/fetch-text.ts'
import { forbiddenIn } from '../../net/guarded-agent.ts'
import { FIELD } from './check-tools.ts'
import type { FillHeaders } from './fill-headers.ts'
import type { HideSecrets } from './hiding/hide-secrets.ts'
import type { Outgoing } from './outgoing.ts'
import { MOST_PICKED_FROM, pickOutput } from './pick-output.ts'
import { type CheckValue, type ServerTool, ToolError } from './server-tool.ts'
import type { HttpTool } from './tool-settings.ts'

/** Milliseconds that a request may take where the tool does not say. */
export const DEFAULT_TIMEOUT_MS = 30_000
/** Bytes of an answer that are read where the tool does not say; the model gets to see fewer. */
const DEFAULT_MAX_BYTES = 262_144
/** UTF-16 units of an error's body that the model gets to see. */
const SHOWN_OF_ERROR = 2_000

/** A tool that is a request of the server. */
export function createHttpTool(
  tool: HttpTool,
  deps: { dispatcher: Dispatcher; fillHeaders: FillHeaders; outgoing: Outgoing; checkValue: CheckValue },
): ServerTool {
  const { dispatcher, fillHeaders, outgoing, checkValue } = deps
  const { maxBytes = DEFAULT_MAX_BYTES, timeoutMs = DEFAULT_TIMEOUT_MS } = tool

  async function send(request: TextRequest, signal: AbortSignal): Promise<TextAnswer> {
    const timeout = AbortSignal.timeout(timeoutMs)
    const options = {
      dispatcher,
      signal: AbortSignal.any([signal, timeout]),
      maxBytes: tool.outputSchema ? Math.min(maxBytes, MOST_PICKED_FROM) : maxBytes,
      onRequest: outgoing.take,
    }
    try {
      return await fetchText(request, options)
    } catch (error) {
      if (signal.aborted || error instanceof ToolError) throw error
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
      const { headers, hide } = await fillHeaders(tool.headers ?? {}, requestFor(tool, input, {}).url)
      const request = requestFor(tool, input, headers)
      try {
        const answer = await send(request, signal).catch((error: unknown) => {
          // Only what may be done twice is tried twice.
          if (!tool.idempotent || signal.aborted || forbiddenIn(error)) throw error
          return send(request, signal)
        })
        return toResult(answer, tool, hide)
      } catch (error) {
        if (error instanceof ToolError) throw new ToolError(hide(error.message), { cause: error.cause })
        throw error
      }
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

/** What the model gets to see: what `outputSchema` names where there is one, and never what was secret in the request. */
function toResult(answer: TextAnswer, { outputSchema }: HttpTool, hide: HideSecrets): string {
  const { status, contentType, text, isCut } = answer
  const isFine = status >= 200 && status < 300
  if (outputSchema) {
    if (!isFine) throw new ToolError(`the service answered ${status}.`)
    return hide(JSON.stringify(pickOutput(outputSchema, parsed(answer))))
  }
  if (text !== '' && !/json|xml|text|javascript|yaml|csv|form|^$/i.test(contentType)) {
    throw new ToolError(`the service answered ${status} with ${contentType.slice(0, 100)}, which is no text.`)
  }
  const shown = hide(text, isCut)
  if (isFine) return isCut ? `${shown}\n(Cut: the answer is larger than what is read of it.)` : shown
  throw new ToolError(`the service answered ${status}. ${shown.slice(0, SHOWN_OF_ERROR)}`.trim())
}

function parsed({ text, isCut }: TextAnswer): JsonValue {
  // A part of it is no JSON.
  if (isCut) throw new ToolError('the answer is larger than what is read of it, so nothing of it can be given.')
  try {
    return parseExactly(text)
  } catch {
    throw new ToolError('the service answered what is no JSON.')
  }
}

function whyNot(error: unknown): string {
  const forbidden = forbiddenIn(error)
  if (forbidden) return `the service cannot be used: ${forbidden.message}.`
  if (error instanceof TooManyRedirects) return `the service cannot be used: ${error.message}.`
  const code = (error as { code?: unknown } | null)?.code
  return typeof code === 'string' ? `the service cannot be reached (${code}).` : 'the service cannot be reached.'
}

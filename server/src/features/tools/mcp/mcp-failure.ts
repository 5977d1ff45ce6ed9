import { isJsonObject } from '../../../lib/json.ts'
import { AnswerTooLarge } from '../../../net/bounded-fetch.ts'
import { forbiddenIn } from '../../../net/guarded-agent.ts'
import type { HideSecrets } from '../hiding/hide-secrets.ts'
import { ToolError } from '../server-tool.ts'

/** UTF-16 units of a server's own words that are told. */
const MOST_WORDS = 2_000
/** How servers say that they do not know the session any more, where they do not say it by 404: words of both kinds. */
const SESSION = /\bsession\b/i
const GONE = /\b(not found|expired|invalid|unknown|terminated|closed|gone|no valid)\b/i
/** The codes with which they say so; with others it may be a session of a tool's own. */
const SESSION_CODES = new Set([-32_000, -32_001])

/** Why a request to an MCP server came to nothing; the message has its own words, without what was secret in ours. */
export class McpFailure extends Error {
  /** Without its words: for those who may not hear how the server is configured. */
  readonly short: string
  /** Nothing was done, because the server has forgotten the session: the request may be made in a new one. */
  readonly isSessionGone: boolean

  constructor(error: unknown, hide: HideSecrets) {
    const { short, words, isSessionGone } = readFailure(error)
    super(words === '' ? short : `${short}: ${hide(words.slice(0, MOST_WORDS))}`, { cause: error })
    this.name = 'McpFailure'
    this.short = short
    this.isSessionGone = isSessionGone
  }
}

/** Leaves alone what has its words already, such as errors for the model. */
export function failureOf(error: unknown, hide: HideSecrets): unknown {
  return error instanceof ToolError || error instanceof McpFailure ? error : new McpFailure(error, hide)
}

/** The HTTP status that a server has answered with, if that is what went wrong. */
export function statusOf(error: unknown): number | null {
  const { cause } = error instanceof McpFailure ? error : { cause: error }
  const { code } = (cause ?? {}) as { code?: unknown }
  return typeof code === 'number' && code >= 100 ? code : null
}

type Read = { short: string; words: string; isSessionGone: boolean }

function readFailure(error: unknown): Read {
  const { code, message = '' } = (error ?? {}) as { code?: unknown; message?: string }
  const status = statusOf(error)
  if (status !== null) return ofStatus(status, message)
  if (typeof code === 'number' && isProtocolError(error)) return ofProtocol(code, message)
  return { short: reasonOf(error), words: '', isSessionGone: false }
}

/** An error of JSON-RPC, which the SDK gives with its code before its message; two of its own look alike. */
function ofProtocol(code: number, message: string): Read {
  const words = message.replace(`MCP error ${code}: `, '')
  const plain = (short: string) => ({ short, words: '', isSessionGone: false })
  if (code === -32_000 && words === 'Connection closed') return plain('the connection has ended')
  if (code === -32_001 && /^(Request timed out|Maximum total timeout)/.test(words)) {
    return plain('it did not answer in time')
  }
  return {
    short: `it answered with the error ${code}`,
    words,
    isSessionGone: SESSION_CODES.has(code) && isAboutSession(words),
  }
}

function isAboutSession(words: string): boolean {
  return SESSION.test(words) && GONE.test(words)
}

/** A status with a body, which may have an error of JSON-RPC in it. */
function ofStatus(status: number, message: string): Read {
  const body = message.replace(/^Streamable HTTP error: /, '').replace(/^Error POSTing to endpoint: /, '')
  const error = errorIn(body)
  const words = error?.message ?? ''
  const short = `it answered with ${status}${error?.code === undefined ? '' : ` and the error ${error.code}`}`
  const isRedirect = status >= 300 && status < 400
  return {
    short: isRedirect ? `${short}, a redirect that is not followed` : short,
    words,
    isSessionGone: status === 404 || (status === 400 && isAboutSession(words || body)),
  }
}

function errorIn(body: string): { code?: number; message: string } | null {
  try {
    const { error } = JSON.parse(body) as { error?: unknown }
    if (typeof error === 'string') return { message: error }
    if (!isJsonObject(error)) return null
    const { code, message } = error
    return { ...(typeof code === 'number' && { code }), message: typeof message === 'string' ? message : '' }
  } catch {
    return null
  }
}

/** In words that quote nothing of what it sent. */
export function reasonOf(error: unknown): string {
  const forbidden = forbiddenIn(error)
  if (forbidden) return forbidden.message
  if (error instanceof ToolError) return error.message.replace(/\.$/, '')
  if (error instanceof AnswerTooLarge || error instanceof McpFailure) return error.message
  const { code, message = '' } = (error ?? {}) as { code?: unknown; message?: string }
  if (typeof code === 'string') return `it cannot be reached (${code})`
  if (code === -1) return 'it answered with something else than JSON or events'
  const [, version] = /protocol version is not supported: (\S{1,40})$/.exec(message) ?? []
  if (version !== undefined) return `it speaks another version of the protocol (${version})`
  if (isProtocolError(error) || (error as Error | null)?.name === 'ZodError' || error instanceof SyntaxError) {
    return 'its answer is not as the protocol has it'
  }
  if (message === 'the connection has ended') return message
  return 'it cannot be reached'
}

function isProtocolError(error: unknown): boolean {
  return error instanceof Error && error.message.startsWith('MCP error ')
}

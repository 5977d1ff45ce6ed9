import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js'
import type { JSONRPCMessage } from '@modelcontextprotocol/sdk/types.js'
import type { JsonValue } from '../../../lib/json.ts'
import { AnswerTooLarge } from '../../../net/bounded-fetch.ts'
import type { McpTools } from '../tool-settings.ts'
import type { McpSession } from './mcp-connection.ts'
import { failureOf, statusOf } from './mcp-failure.ts'
import { type OpenTransport, openEvents, openTransport, type TransportDeps } from './mcp-transport.ts'

type Options = { timeout: number; signal: AbortSignal }
type Fail = (error: Error) => void

/** How servers answer the newer way of HTTP that know only the older one. */
const KNOWS_NO_POST = new Set([400, 404, 405, 406, 415, 501])

/**
 * Begins a session with an MCP server, with the newest version of the protocol that both know. A server with a URL is tried
 * over Streamable HTTP first, then over the older way with events. Throws `McpFailure` when neither does.
 */
export async function openSession(server: McpTools, deps: TransportDeps, options: Options): Promise<McpSession> {
  try {
    return await shakeHands((onTooLarge) => openTransport(server, deps, { ...options, onTooLarge }), options)
  } catch (error) {
    const { url } = server
    const status = statusOf(error)
    if (url === undefined || status === null || !KNOWS_NO_POST.has(status)) throw error
    // What was wrong at first is the better reason when it is no server of the older way.
    return await shakeHands((onTooLarge) => openEvents(server, url, deps, { ...options, onTooLarge }), options).catch(
      () => {
        throw error
      },
    )
  }
}

async function shakeHands(open: (onTooLarge: Fail) => Promise<OpenTransport>, options: Options): Promise<McpSession> {
  // Loaded when it is used: it takes some 30 MB.
  const { Client } = await import('@modelcontextprotocol/sdk/client/index.js')
  const client = new Client({ name: 'dramatis', version: '0.1.0' })
  const { promise: broken, reject: fail } = Promise.withResolvers<never>()
  // Somebody listens only while it is used.
  broken.catch(() => {})
  const { transport, hide, release } = await open(fail)
  mendHandshake(transport)
  client.onerror = (error) => {
    if (error instanceof AnswerTooLarge) fail(error)
  }
  client.onclose = () => fail(new Error('the connection has ended'))
  const end = async () => {
    await release()
    await client.close().catch(() => {})
    // The client knows nothing of one that never came to be.
    await transport.close()
  }
  let ending: Promise<void> | null = null
  const close = () => {
    ending ??= end()
    return ending
  }
  try {
    await client.connect(transport, options)
  } catch (error) {
    await close()
    throw failureOf(error, hide)
  }
  return { client, hide, broken, close }
}

/** Takes the nulls out of what a server says of itself, which the SDK would refuse to read. */
function mendHandshake(transport: Transport): void {
  let listener: Transport['onmessage']
  Object.defineProperty(transport, 'onmessage', {
    get: () => listener,
    set(given: NonNullable<Transport['onmessage']>) {
      listener = (message, extra) => given(isHandshake(message) ? withoutNulls(message) : message, extra)
    },
  })
}

function isHandshake(message: JSONRPCMessage): boolean {
  return 'result' in message && 'protocolVersion' in message.result && 'serverInfo' in message.result
}

function withoutNulls<T extends object>(value: T): T {
  return JSON.parse(JSON.stringify(value), (_name, member: JsonValue) => (member === null ? undefined : member)) as T
}

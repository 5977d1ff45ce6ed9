import { setTimeout as wait } from 'node:timers/promises'
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js'
import type { Dispatcher } from 'undici'
import { type AnswerTooLarge, createBoundedFetch } from '../../../net/bounded-fetch.ts'
import type { FillHeaders } from '../fill-headers.ts'
import type { HideSecrets } from '../hiding/hide-secrets.ts'
import type { Outgoing } from '../outgoing.ts'
import { ToolError } from '../server-tool.ts'
import type { McpTools } from '../tool-settings.ts'
import { followingOnHost } from './follow-redirects.ts'
import { createEventsTransport } from './mcp-events.ts'
import { createProcessTransport, type McpPreset } from './mcp-process.ts'

/** Bytes of one answer of a server, decompressed, which is parsed on the main thread; and of all that a process writes. */
export const MOST_BYTES_OF_ANSWER = 1_048_576
const MOST_BYTES_OF_PROCESS = 67_108_864
/** Milliseconds that a server has to hear that its session is over. */
const FAREWELL_MS = 2_000

export type OpenTransport = {
  transport: Transport
  hide: HideSecrets
  /** Gives back what it holds outside of itself, before it is closed. Never rejects. */
  release(): Promise<void>
}

export type TransportDeps = {
  dispatcher: Dispatcher
  fillHeaders: FillHeaders
  outgoing: Outgoing
  presets: ReadonlyMap<string, McpPreset>
  /** Waits for a place for a process, which organizations and their keys share; gives the function that gives it back. */
  enterProcess(signal: AbortSignal): Promise<() => void>
}
export type TransportOptions = { timeout: number; signal: AbortSignal; onTooLarge(error: AnswerTooLarge): void }

/** The way to an MCP server, with a bound to what comes back. */
export function openTransport(
  server: McpTools,
  deps: TransportDeps,
  options: TransportOptions,
): Promise<OpenTransport> {
  return server.url === undefined ? openProcess(server, deps, options) : openHttp(server, server.url, deps, options)
}

/** Streamable HTTP. */
async function openHttp(
  server: McpTools,
  url: string,
  { dispatcher, fillHeaders, outgoing }: TransportDeps,
  { onTooLarge }: TransportOptions,
): Promise<OpenTransport> {
  const { headers, hide } = await fillHeaders(server.headers ?? {}, url)
  const { StreamableHTTPClientTransport } = await import('@modelcontextprotocol/sdk/client/streamableHttp.js')
  let isOver = false
  const bounded = await createBoundedFetch({
    dispatcher,
    mostBytes: MOST_BYTES_OF_ANSWER,
    redirect: 'manual',
    // The last word is said even when nothing may be asked any more.
    onRequest: () => isOver || outgoing.take(),
    onTooLarge,
  })
  const fetch = followingOnHost(bounded)
  const transport = new StreamableHTTPClientTransport(new URL(url), {
    fetch: (input, init) =>
      opensStream(init) ? Promise.resolve(new Response(null, { status: 405 })) : fetch(input, init),
    requestInit: { headers },
  })
  return {
    transport: transport as Transport,
    hide,
    async release() {
      isOver = true
      // Tells a server that keeps something for us that it need not any more.
      await Promise.race([transport.terminateSession().catch(() => {}), wait(FAREWELL_MS, undefined, { ref: false })])
    },
  }
}

/** The older way of HTTP, for servers that know no other. */
export async function openEvents(
  server: McpTools,
  url: string,
  { dispatcher, fillHeaders, outgoing }: TransportDeps,
  { timeout, signal, onTooLarge }: TransportOptions,
): Promise<OpenTransport> {
  const { headers, hide } = await fillHeaders(server.headers ?? {}, url)
  const of = { dispatcher, redirect: 'manual' as const, onRequest: outgoing.take, onTooLarge }
  const [stream, send] = await Promise.all([
    createBoundedFetch({ ...of, mostBytes: MOST_BYTES_OF_PROCESS }),
    createBoundedFetch({ ...of, mostBytes: MOST_BYTES_OF_ANSWER }),
  ])
  const transport = createEventsTransport({
    url,
    headers,
    fetch: { stream: followingOnHost(stream), send: followingOnHost(send) },
    mostBytesOfMessage: MOST_BYTES_OF_ANSWER,
    signal: AbortSignal.any([signal, AbortSignal.timeout(timeout)]),
  })
  return { transport, hide, release: async () => {} }
}

/**
 * Whether a request would open the stream for what a server says of its own accord, which nobody here listens to: the
 * answer is then that of a server that has none. One that goes on reading an answer names where it was.
 */
function opensStream(init: RequestInit | undefined): boolean {
  return init?.method === 'GET' && !new Headers(init.headers).has('last-event-id')
}

/** A process of its own, for which there has to be a place. */
async function openProcess(
  { preset = '' }: McpTools,
  { presets, enterProcess, outgoing }: TransportDeps,
  { timeout, signal }: TransportOptions,
): Promise<OpenTransport> {
  outgoing.take()
  const late = AbortSignal.any([signal, AbortSignal.timeout(timeout)])
  const giveBack = await enterProcess(late).catch((error: unknown) => {
    if (signal.aborted) throw error
    throw new ToolError(`no place for its process has become free within ${timeout} ms`)
  })
  const bounds = { mostBytesOfMessage: MOST_BYTES_OF_ANSWER, mostBytes: MOST_BYTES_OF_PROCESS }
  const transport = createProcessTransport(presets.get(preset) as McpPreset, { ...bounds, onGone: giveBack })
  return { transport, hide: (text) => text, release: async () => {} }
}

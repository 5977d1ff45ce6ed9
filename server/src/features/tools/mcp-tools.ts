import type { Client } from '@modelcontextprotocol/sdk/client/index.js'
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js'
import type { jsonSchemaValidator } from '@modelcontextprotocol/sdk/validation/types.js'
import type { Dispatcher, fetch as undiciFetch } from 'undici'
import { AppError } from '../../errors.ts'
import { isJsonObject, type JsonObject } from '../../lib/json.ts'
import type { ToolDefinition } from '../../models/tool-call.ts'
import { forbiddenIn } from '../../net/guarded-agent.ts'
import { readOutsideSchema } from '../../schema-checks/outside-schema.ts'
import { SchemaRefused } from '../../schema-checks/schema-refused.ts'
import { DEFAULT_TIMEOUT_MS, type FillHeaders, hideSecrets } from './http-tool.ts'
import type { CheckValue } from './outside-schemas.ts'
import { type ServerTool, ToolError } from './server-tool.ts'
import type { McpTools } from './tool-settings.ts'

/** Pages of a list of tools that are read. */
const MOST_PAGES = 20

type Listed = {
  name: string
  description?: string | undefined
  inputSchema: JsonObject
  /** What the structured content of a result has to be like; absent where the server says nothing that can be checked. */
  outputSchema?: JsonObject
}
type Connection = { client: Client; secrets: string[]; close(): Promise<void> }
export type McpTool = { definition: ToolDefinition; tool: ServerTool }
export type McpServer = { tools: McpTool[]; close(): Promise<void> }

export type McpDeps = {
  dispatcher: Dispatcher
  fillHeaders: FillHeaders
  /** Commands that may be started; `*` is any. */
  commands: readonly string[]
  /** Lists of tools that were read not long ago, by server. */
  known: { get(key: string): Listed[] | undefined; set(key: string, tools: Listed[]): void }
  organizationId: string
  checkValue: CheckValue
  log: { warn(about: object, message: string): void }
}

/**
 * The tools of an MCP server (https://modelcontextprotocol.io), reached over Streamable HTTP or started as a process. It
 * is connected to when its tools are not known yet, or when one is called. Throws 503 when it cannot be used, and 422
 * for a command that may not be started.
 */
export async function openMcpServer(server: McpTools, deps: McpDeps, signal: AbortSignal): Promise<McpServer> {
  const label = labelOf(server)
  const timeout = server.timeoutMs ?? DEFAULT_TIMEOUT_MS
  let connecting: Promise<Connection> | null = null
  const connection = () => {
    connecting ??= connect(server, deps, { timeout, signal })
    return connecting
  }
  const close = async () => (await connecting?.catch(() => null))?.close()

  async function list(): Promise<Listed[]> {
    const key = JSON.stringify([deps.organizationId, server])
    const known = deps.known.get(key)
    if (known) return known
    try {
      const all = await listTools((await connection()).client, { timeout, signal })
      const listed = all.flatMap((tool) => usable(tool, label, deps.log))
      deps.known.set(key, listed)
      return listed
    } catch (error) {
      await close()
      throw unusable(label, error)
    }
  }

  if (server.command !== undefined) checkCommand(server.command, deps.commands)
  const wanted = (await list()).filter(({ name }) => server.tools === undefined || server.tools.includes(name))
  const tools = wanted.map(
    (listed): McpTool => ({
      definition: {
        name: listed.name.replaceAll(/[^\w-]/g, '_').slice(0, 64),
        description: (listed.description ?? '').slice(0, 4_000),
        inputSchema: { ...listed.inputSchema, type: 'object' },
      },
      tool: {
        requiresApproval: server.requiresApproval === true,
        async call(input, signal) {
          try {
            const { client, secrets } = await connection()
            const result = await client.callTool({ name: listed.name, arguments: input }, undefined, {
              timeout,
              signal,
            })
            const shown = toResult(result, secrets)
            await checkOutput(listed.outputSchema, result as Record<string, unknown>, deps.checkValue)
            return shown
          } catch (error) {
            if (error instanceof ToolError || signal.aborted) throw error
            throw new ToolError(`${label} has failed: ${reasonOf(error)}`, { cause: error })
          }
        },
      },
    }),
  )
  return { tools, close }
}

async function connect(
  server: McpTools,
  { dispatcher, fillHeaders }: McpDeps,
  options: { timeout: number; signal: AbortSignal },
): Promise<Connection> {
  // Loaded when it is used: it takes some 30 MB.
  const { Client } = await import('@modelcontextprotocol/sdk/client/index.js')
  const client = new Client({ name: 'dramatis', version: '0.1.0' }, { jsonSchemaValidator: compileNothing })
  const { headers, secrets } = await fillHeaders(server.headers ?? {})
  const transport = await transportTo(server, headers, dispatcher)
  try {
    await client.connect(transport, options)
  } catch (error) {
    await client.close().catch(() => {})
    throw error
  }
  const close = async () => {
    // Tells a server that keeps something for us that it need not any more.
    if ('terminateSession' in transport) await (transport.terminateSession as () => Promise<void>)().catch(() => {})
    await client.close()
  }
  return { client, secrets, close }
}

async function transportTo(server: McpTools, headers: Record<string, string>, dispatcher: Dispatcher) {
  if (server.url !== undefined) {
    const { StreamableHTTPClientTransport } = await import('@modelcontextprotocol/sdk/client/streamableHttp.js')
    const { fetch } = await import('undici')
    // Not followed elsewhere: the headers may hold secrets.
    const through = (input: string | URL, init?: RequestInit) =>
      fetch(input, { ...(init as Parameters<typeof undiciFetch>[1]), dispatcher, redirect: 'error' })
    return new StreamableHTTPClientTransport(new URL(server.url), {
      fetch: through as unknown as typeof globalThis.fetch,
      requestInit: { headers },
    }) as Transport
  }
  const { StdioClientTransport } = await import('@modelcontextprotocol/sdk/client/stdio.js')
  // It gets no variable of ours but the harmless ones that the package passes on, such as PATH and HOME.
  return new StdioClientTransport({ command: server.command ?? '', args: server.args ?? [], stderr: 'ignore' })
}

async function listTools(client: Client, options: { timeout: number; signal: AbortSignal }): Promise<Listed[]> {
  const listed: Listed[] = []
  let cursor: string | undefined
  for (let page = 0; page < MOST_PAGES; page++) {
    const { tools, nextCursor } = await client.listTools(cursor === undefined ? {} : { cursor }, options)
    for (const { name, description, inputSchema, outputSchema } of tools) {
      const output = outputSchema && { outputSchema: outputSchema as JsonObject }
      listed.push({ name, description, inputSchema: inputSchema as JsonObject, ...output })
    }
    if (nextCursor === undefined) break
    cursor = nextCursor
  }
  return listed
}

/**
 * The package would compile the `outputSchema` of every tool that is listed, where it may stop everybody. Ours does not
 * object to anything: what a result is like is checked by {@link checkOutput}.
 */
const compileNothing: jsonSchemaValidator = {
  getValidator: (() => (data: unknown) => ({ valid: true, data })) as unknown as jsonSchemaValidator['getValidator'],
}

/** A tool as it can be used. One whose schema cannot is left out, and the others stay. */
function usable(tool: Listed, label: string, log: McpDeps['log']): Listed[] {
  const about = { tool: tool.name.slice(0, 100) }
  try {
    readOutsideSchema(tool.inputSchema)
  } catch (error) {
    if (!(error instanceof SchemaRefused)) throw error
    log.warn({ ...about, reason: error.message }, `${label} has a tool that is left out: its inputSchema is refused`)
    return []
  }
  const { outputSchema, ...rest } = tool
  if (outputSchema === undefined) return [tool]
  try {
    readOutsideSchema(outputSchema)
    return [tool]
  } catch (error) {
    if (!(error instanceof SchemaRefused)) throw error
    log.warn(
      { ...about, reason: error.message },
      `${label} has a tool whose results are not checked: its outputSchema is refused`,
    )
    return [rest]
  }
}

/**
 * A tool with an `outputSchema` must give structured content that fits it
 * (https://modelcontextprotocol.io/specification/2025-06-18/server/tools#output-schema).
 */
async function checkOutput(
  schema: JsonObject | undefined,
  { structuredContent }: Record<string, unknown>,
  checkValue: CheckValue,
): Promise<void> {
  if (schema === undefined) return
  if (!isJsonObject(structuredContent))
    throw new ToolError('the result lacks the structured content that was promised.')
  const issues = await checkValue(schema, structuredContent)
  if (issues.length === 0) return
  throw new ToolError(`the result is not as it was promised: ${issues.map((issue) => `result${issue}`).join('; ')}.`)
}

/** What the model gets to see: the texts, and a word about what is none. */
function toResult(result: object, secrets: readonly string[]): string {
  const { content, structuredContent, isError } = result as Record<string, unknown>
  const parts = (Array.isArray(content) ? content : []).filter(isJsonObject).map((part) => {
    if (part['type'] === 'text') return String(part['text'])
    const { resource } = part
    if (isJsonObject(resource) && typeof resource['text'] === 'string') return resource['text']
    return `(${String(part['mimeType'] ?? part['type'])}: not shown)`
  })
  const text =
    parts.length > 0 || structuredContent === undefined ? parts.join('\n') : JSON.stringify(structuredContent)
  const shown = hideSecrets(text, secrets)
  if (isError === true) throw new ToolError(shown === '' ? 'the tool failed.' : shown)
  return shown
}

function checkCommand(command: string, allowed: readonly string[]): void {
  if (allowed.includes('*') || allowed.includes(command)) return
  const message = `the command ${command} may not be started: DRAMATIS_MCP_COMMANDS does not name it`
  throw new AppError('unprocessable_entity', message)
}

/** Without what may be secret in a URL. */
function labelOf({ url, command }: McpTools): string {
  return `the MCP server ${url === undefined ? command : new URL(url).origin}`
}

function unusable(label: string, error: unknown): AppError {
  const message = `${label} cannot be used: ${reasonOf(error)}`
  return new AppError('unavailable', message, { cause: error })
}

/** In words that quote nothing of what it sent. */
function reasonOf(error: unknown): string {
  const forbidden = forbiddenIn(error)
  if (forbidden) return forbidden.message
  if (error instanceof ToolError) return error.message
  const { code } = (error ?? {}) as { code?: unknown }
  if (code === -32_001) return 'it did not answer in time'
  return code === undefined ? 'it cannot be reached' : `it answered with ${String(code)}`
}

import type { Dispatcher } from 'undici'
import { AppError } from '../../../errors.ts'
import type { ToolDefinition } from '../../../models/tool-call.ts'
import { HOW_TO_START } from '../check-tools.ts'
import type { FillHeaders } from '../fill-headers.ts'
import { DEFAULT_TIMEOUT_MS } from '../http-tool.ts'
import type { Outgoing } from '../outgoing.ts'
import { schemaForModels } from '../schema-for-models.ts'
import { type CheckValue, type CompileSchemas, type ServerTool, ToolError } from '../server-tool.ts'
import type { McpTools } from '../tool-settings.ts'
import type { ListedTool } from './listed-tool.ts'
import { createMcpConnection } from './mcp-connection.ts'
import { McpFailure, reasonOf } from './mcp-failure.ts'
import { type Listing, listTools } from './mcp-listing.ts'
import type { McpPreset } from './mcp-process.ts'
import { toResult } from './mcp-result.ts'
import { checkOutput, type OddSchema, usableOf } from './mcp-schemas.ts'
import { openSession } from './mcp-session.ts'

export type McpTool = { definition: ToolDefinition; tool: ServerTool }
export type McpServer = { tools: McpTool[]; close(): Promise<void> }

export type McpDeps = {
  dispatcher: Dispatcher
  fillHeaders: FillHeaders
  outgoing: Outgoing
  presets: ReadonlyMap<string, McpPreset>
  /** Waits for a place for a process, which organizations and their keys share; gives the function that gives it back. */
  enterProcess(signal: AbortSignal): Promise<() => void>
  /** Lists of tools that were read not long ago, by server. */
  known: { get(key: string): ListedTool[] | undefined; set(key: string, tools: ListedTool[]): void }
  organizationId: string
  /** Whether nobody may hear how the server is configured. */
  isSecret: boolean
  checkValue: CheckValue
  compile: CompileSchemas
  log: { warn(fields: object, message: string): void }
}

/**
 * The tools of an MCP server (https://modelcontextprotocol.io), reached over Streamable HTTP or started as a process. It
 * is connected to when its tools are not known yet, or when one is called. Throws 503 when it cannot be used, and 422
 * for a command that the operator has not named.
 */
export async function openMcpServer(server: McpTools, deps: McpDeps, signal: AbortSignal): Promise<McpServer> {
  checkPreset(server, deps)
  const label = labelOf(server)
  const timeout = server.timeoutMs ?? DEFAULT_TIMEOUT_MS
  const connection = createMcpConnection(() => openSession(server, deps, { timeout, signal }))

  async function list(): Promise<ListedTool[]> {
    const key = JSON.stringify([deps.organizationId, server])
    const known = deps.known.get(key)
    if (known) return known
    try {
      const listing = await connection.use(({ client, hide }) => listTools(client, hide, { timeout, signal }))
      const { usable, odd } = await usableOf(listing.tools, deps.compile)
      tellOdd(listing, odd, label, deps)
      deps.known.set(key, usable)
      return usable
    } catch (error) {
      await connection.close()
      throw unusable(label, error, deps.isSecret)
    }
  }

  const wanted = (await list()).filter(({ name }) => server.tools === undefined || server.tools.includes(name))
  const tools = wanted.map(
    ({ name, description, inputSchema, outputSchema }): McpTool => ({
      definition: {
        name: name.replaceAll(/[^\w-]/g, '_').slice(0, 64),
        description,
        inputSchema: schemaForModels(inputSchema),
      },
      tool: {
        requiresApproval: server.requiresApproval === true,
        async call(input, signal) {
          try {
            const { ResultSchema } = await import('@modelcontextprotocol/sdk/types.js')
            return await connection.use(async ({ client, hide }) => {
              // The requests of a server with a URL are counted where they are made.
              if (server.preset !== undefined) deps.outgoing.take()
              const request = { method: 'tools/call', params: { name, arguments: input } }
              const result = await client.request(request, ResultSchema, { timeout, signal })
              const shown = toResult(result, hide)
              await checkOutput(outputSchema, result, { checkValue: deps.checkValue, hide })
              return shown
            })
          } catch (error) {
            if (error instanceof ToolError || signal.aborted) throw error
            throw new ToolError(`the MCP server has failed: ${reasonOf(error)}.`, { cause: error })
          }
        },
      },
    }),
  )
  return { tools, close: connection.close }
}

/** Says which tools are not offered, or not as they are listed, and why. */
function tellOdd({ left, more, remarks }: Listing, odd: readonly OddSchema[], label: string, deps: McpDeps): void {
  const { log, organizationId } = deps
  if (left.length > 0) log.warn({ organizationId, left, more }, `some tools of ${label} are not offered`)
  if (remarks.length > 0) log.warn({ organizationId, remarks }, `the list of tools of ${label} is odd`)
  for (const { consequence, isLeft: _, ...about } of odd) log.warn(about, `a tool of ${label} ${consequence}`)
}

function checkPreset({ preset, command }: McpTools, { presets, isSecret }: McpDeps): void {
  if (command !== undefined) {
    throw new AppError(
      'unprocessable_entity',
      `an MCP server cannot be started by its command any more: ${HOW_TO_START}`,
    )
  }
  if (preset === undefined || presets.has(preset)) return
  const message = `there is no preset${isSecret ? '' : ` ${preset}`} that an MCP server could be started by: DRAMATIS_MCP_COMMANDS does not name it`
  throw new AppError('unprocessable_entity', message)
}

/** For the log, without what may be secret in a URL. Where a server of the inside is concerns no caller. */
function labelOf({ url, preset }: McpTools): string {
  return `the MCP server ${url === undefined ? preset : new URL(url).origin}`
}

function unusable(label: string, error: unknown, isSecret: boolean): AppError {
  const reason = reasonOf(error)
  // Not the error itself: it may quote what was sent, headers with secrets too.
  const cause = new Error(`${label} cannot be used: ${reason}`)
  const told = isSecret && error instanceof McpFailure ? error.short : reason
  return new AppError('unavailable', `an MCP server of this conversation cannot be used: ${told}`, { cause })
}

import type { Dispatcher } from 'undici'
import { AppError } from '../../errors.ts'
import type { Clock } from '../../lib/clock.ts'
import type { Holder } from '../../lib/fairness/fair-places.ts'
import { createFairQueue } from '../../lib/fairness/fair-queue.ts'
import type { JsonObject } from '../../lib/json.ts'
import type { ToolDefinition } from '../../models/tool-call.ts'
import type { SchemaChecks } from '../../schema-checks/schema-checks.ts'
import type { SecretService } from '../secrets/secret-service.ts'
import { MOST_SERVERS } from './check-tools.ts'
import type { McpPreset } from './mcp/mcp-process.ts'
import type { McpDeps, McpServer } from './mcp/mcp-tools.ts'
import { type FoundTool, offerTools } from './offered-tools.ts'
import { createOutgoing } from './outgoing.ts'
import { createRemembered } from './remembered.ts'
import { schemaForModels } from './schema-for-models.ts'
import type { CheckValue, CompileSchemas, ServerTool } from './server-tool.ts'
import {
  type ClientTool,
  type ConfiguredTool,
  type HttpTool,
  isSearched,
  type McpTools,
  maxStepsOf,
  toolsOf,
} from './tool-settings.ts'

/** Milliseconds for which the list of an MCP server's tools is believed, and of how many servers. */
const LISTS = { lifetimeMs: 60_000, most: 128 }
/** Runs that may wait for a place for a process. */
const MOST_WAITING = 1_000

/** What the model of one turn may call. */
export type Toolbox = {
  readonly definitions: readonly ToolDefinition[]
  /** What those who send messages should know of them, in sentences. */
  warnings: readonly string[]
  /** How often the model may call something before it has to answer. */
  maxSteps: number
  /** `client` for what the caller runs; undefined for what there is not. */
  find(name: string): ServerTool | 'client' | undefined
  close(): Promise<void>
}

export type ToolService = ReturnType<typeof createToolService>

/** Opens the tools that a configuration names. */
export function createToolService(deps: {
  clock: Clock
  secrets: Pick<SecretService, 'reveal'>
  /** Makes the connections of tools, and of nothing else. */
  dispatcher: Dispatcher
  /** Commands of MCP servers that tools may name. */
  presets: ReadonlyMap<string, McpPreset>
  /** Processes of MCP servers at the same time. */
  mostProcesses: number
  schemaChecks: Pick<SchemaChecks, 'issuesOf' | 'compile'>
  log: McpDeps['log']
}) {
  const { secrets, dispatcher, presets, schemaChecks, log } = deps
  const ofOrganization = Math.ceil(deps.mostProcesses / 2)
  // One turn may need a process for each of its servers.
  const ofKey = Math.max(Math.ceil(ofOrganization * 0.75), Math.min(MOST_SERVERS, ofOrganization))
  const places = createFairQueue({
    atOnce: deps.mostProcesses,
    most: MOST_WAITING,
    atOnceEach: [ofOrganization, ofKey],
  })
  const known: McpDeps['known'] = createRemembered(deps.clock, LISTS)

  async function openServers(servers: McpTools[], mcp: McpDeps, signal: AbortSignal): Promise<McpServer[]> {
    if (servers.length === 0) return []
    const { openMcpServer } = await import('./mcp/mcp-tools.ts')
    const opened = await Promise.allSettled(servers.map((server) => openMcpServer(server, mcp, signal)))
    const open = opened.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []))
    const failed = opened.find((one) => one.status === 'rejected')
    if (!failed) return open
    await Promise.allSettled(open.map((server) => server.close()))
    throw failed.reason
  }

  return {
    /** Null where there are none. Throws 503 when an MCP server cannot be used, 422 when it may not be. */
    async open(
      { organizationId, keyId }: Holder,
      { configuration, isSecret }: { configuration: JsonObject | null; isSecret: boolean },
      signal: AbortSignal,
    ): Promise<Toolbox | null> {
      const tools = toolsOf(configuration)
      if (tools.length === 0) return null
      // Loaded when there are tools: many servers never have one.
      const { createHttpTool } = await import('./http-tool.ts')
      const { createFillHeaders } = await import('./fill-headers.ts')
      const fillHeaders = createFillHeaders((name) => secrets.reveal(organizationId, name), isSecret)
      const outgoing = createOutgoing()
      const path = [organizationId, keyId ?? '']
      const checkValue: CheckValue = (schema, value) => schemaChecks.issuesOf(path, schema, value)
      const compile: CompileSchemas = (schemas) => schemaChecks.compile(path, schemas)
      const mcp = {
        dispatcher,
        fillHeaders,
        outgoing,
        presets,
        enterProcess: (aborted: AbortSignal) => places.enter(path, aborted),
        known,
        organizationId,
        isSecret,
        checkValue,
        compile,
        log,
      }
      const http = { dispatcher, fillHeaders, outgoing, checkValue }
      const toFound = (tool: HttpTool | ClientTool): FoundTool => {
        const { name, description, inputSchema } = tool
        const definition = { name, description, inputSchema: schemaForModels(inputSchema) }
        return { definition, tool: tool.type === 'client' ? 'client' : createHttpTool(tool, http) }
      }
      const servers = await openServers(serversOf(tools), mcp, signal)

      const own = tools.filter((tool) => !isMcp(tool)).map(toFound)
      const offered = offerTools(
        own,
        servers.flatMap((server) => server.tools),
        isSearched(configuration),
      )
      const { left, warnings } = offered
      if (warnings.length > 0)
        log.warn({ organizationId, left }, `some tools of MCP servers are not offered: ${warnings}`)
      return {
        get definitions() {
          return offered.definitions()
        },
        warnings,
        maxSteps: maxStepsOf(configuration),
        find: offered.find,
        close: async () => void (await Promise.allSettled(servers.map((server) => server.close()))),
      }
    },
  }
}

/** Throws 422 for a configuration that is older than the bound. */
function serversOf(tools: readonly ConfiguredTool[]): McpTools[] {
  const servers = tools.filter(isMcp)
  if (servers.length <= MOST_SERVERS) return servers
  throw new AppError('unprocessable_entity', `the configuration has more than ${MOST_SERVERS} MCP servers`)
}

function isMcp(tool: ConfiguredTool): tool is McpTools {
  return tool.type === 'mcp'
}

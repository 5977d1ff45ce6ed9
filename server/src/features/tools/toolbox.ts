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
import { createOutgoing } from './outgoing.ts'
import { createRemembered } from './remembered.ts'
import { schemaForModels } from './schema-for-models.ts'
import type { CheckValue, CompileSchemas, ServerTool } from './server-tool.ts'
import { type ConfiguredTool, type McpTools, maxStepsOf, toolsOf } from './tool-settings.ts'

/** Milliseconds for which the list of an MCP server's tools is believed, and of how many servers. */
const LISTS = { lifetimeMs: 60_000, most: 128 }
/** Runs that may wait for a place for a process. */
const MOST_WAITING = 1_000
/** Tools that a model is told of; providers take about as many. */
const MOST_DEFINITIONS = 128

/** What the model of one turn may call. */
export type Toolbox = {
  definitions: readonly ToolDefinition[]
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
      const servers = await openServers(serversOf(tools), mcp, signal)

      const definitions: ToolDefinition[] = []
      const found = new Map<string, ServerTool | 'client'>()
      for (const tool of tools) {
        if (isMcp(tool)) continue
        const { name, description, inputSchema } = tool
        definitions.push({ name, description, inputSchema: schemaForModels(inputSchema) })
        const http = { dispatcher, fillHeaders, outgoing, checkValue }
        found.set(name, tool.type === 'client' ? 'client' : createHttpTool(tool, http))
      }
      const offered = servers.flatMap((server) => server.tools)
      const room = Math.max(0, MOST_DEFINITIONS - definitions.length)
      if (offered.length > room) {
        log.warn({ organizationId, offered: room, of: offered.length }, 'some tools of MCP servers are not offered')
      }
      for (const { definition, tool } of offered.slice(0, room)) {
        const name = freeName(definition.name, found)
        definitions.push({ ...definition, name })
        found.set(name, tool)
      }
      return {
        definitions,
        maxSteps: maxStepsOf(configuration),
        find: (name) => found.get(name),
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

/** Two servers may have tools with the same name: the later ones get a number. */
function freeName(name: string, taken: ReadonlyMap<string, unknown>): string {
  if (!taken.has(name)) return name
  for (let n = 2; ; n++) {
    const other = `${name.slice(0, 60)}_${n}`
    if (!taken.has(other)) return other
  }
}

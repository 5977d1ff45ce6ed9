import { AnyObject } from '../../http/schemas.ts'
import type { JsonObject } from '../../lib/json.ts'
import { type Static, Type } from '../../lib/schema.ts'

/** The longest list of tools; providers take about as many. */
const MOST_TOOLS = 64
/** How often a model may call tools before it has to answer, where the configuration does not say. */
const DEFAULT_STEPS = 8

export const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'] as const

const optional = Type.Optional

/** One tool as it stands in a configuration. Which members each type needs is checked by `checkTools`. */
const Tool = Type.Object({
  type: Type.Enum(['client', 'http', 'mcp']),
  name: optional(Type.String({ pattern: '^[a-zA-Z0-9_-]{1,64}$' })),
  description: optional(Type.String({ maxLength: 4_000 })),
  inputSchema: optional(AnyObject),
  method: optional(Type.Enum([...METHODS])),
  url: optional(Type.String({ minLength: 1, maxLength: 2_000 })),
  headers: optional(Type.Record(Type.String(), Type.String({ maxLength: 4_000 }), { maxProperties: 32 })),
  timeoutMs: optional(Type.Integer({ minimum: 1, maximum: 300_000 })),
  maxBytes: optional(Type.Integer({ minimum: 1, maximum: 10_485_760 })),
  requiresApproval: optional(Type.Boolean()),
  idempotent: optional(Type.Boolean()),
  outputSchema: optional(AnyObject),
  preset: optional(Type.String({ pattern: '^[a-zA-Z0-9_-]{1,64}$' })),
  tools: optional(Type.Array(Type.String({ minLength: 1, maxLength: 128 }), { maxItems: 128 })),
})

/** The part of a configuration that is about tools. */
export const ToolSettings = Type.Object({
  tools: optional(Type.Array(Tool, { maxItems: MOST_TOOLS })),
  maxToolSteps: optional(Type.Integer({ minimum: 1, maximum: 64 })),
  toolSearch: optional(
    Type.Boolean({ description: 'Whether the model searches tools of MCP servers when there are more than it takes.' }),
  ),
})
export type ToolSettings = Static<typeof ToolSettings>
/** A tool whose members nobody has checked yet. */
export type WrittenTool = Static<typeof Tool>

type Described = { name: string; description: string; inputSchema: JsonObject }

/** A tool that the caller runs. */
export type ClientTool = Described & { type: 'client' }

/** A request that the server makes. */
export type HttpTool = Described & {
  type: 'http'
  method: (typeof METHODS)[number]
  /** With `{field}` for what comes from the input. */
  url: string
  /** With `{{secret:NAME}}` for what nobody is to read. */
  headers?: Record<string, string>
  timeoutMs?: number
  /** Bytes of the answer that are read. */
  maxBytes?: number
  requiresApproval?: boolean
  idempotent?: boolean
  /** A JSON Schema whose `properties` are all that the model gets of the answer. */
  outputSchema?: JsonObject
}

/** The tools of an MCP server: one with a URL, or one that this server starts as the operator has said. */
export type McpTools = {
  type: 'mcp'
  url?: string
  headers?: Record<string, string>
  /** The operator's name of the command. */
  preset?: string
  /** Of configurations that are older than presets; it is not used. */
  command?: string
  /** The names of those that are offered; absent is all. */
  tools?: string[]
  timeoutMs?: number
  requiresApproval?: boolean
}

export type ConfiguredTool = ClientTool | HttpTool | McpTools

/** The tools of a stored configuration, which were checked when it was written. */
export function toolsOf(configuration: JsonObject | null): ConfiguredTool[] {
  return ((configuration as ToolSettings | null)?.tools ?? []) as ConfiguredTool[]
}

export function maxStepsOf(configuration: JsonObject | null): number {
  return (configuration as ToolSettings | null)?.maxToolSteps ?? DEFAULT_STEPS
}

/** Whether the model looks for tools when there are more than it can be told of. */
export function isSearched(configuration: JsonObject | null): boolean {
  return (configuration as ToolSettings | null)?.toolSearch === true
}

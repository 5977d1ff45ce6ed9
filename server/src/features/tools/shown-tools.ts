import type { JsonObject } from '../../lib/json.ts'
import type { ToolSettings } from './tool-settings.ts'

/**
 * A configuration as those get to see it who may not know where its tools reach: of tools that the server runs what they
 * are called and what they are for, and of MCP servers which tools are offered. What the caller runs is the caller's own.
 */
export function withoutReach(configuration: JsonObject | null): JsonObject | null {
  const { tools } = (configuration ?? {}) as ToolSettings
  if (!tools) return configuration
  const shown = tools.map((tool) => {
    if (tool.type === 'client') return tool
    const { type, name, description, tools: offered } = tool
    return {
      type,
      ...(name !== undefined && { name }),
      ...(description !== undefined && { description }),
      ...(offered !== undefined && { tools: offered }),
    }
  })
  return { ...configuration, tools: shown } as JsonObject
}

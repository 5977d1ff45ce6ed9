import { isJsonObject, type JsonObject } from '../../lib/json.ts'
import { readOutsideSchema } from '../../schema-checks/outside-schema.ts'
import { SchemaRefused } from '../../schema-checks/schema-refused.ts'
import type { HideSecrets } from './hide-secrets.ts'
import type { ListedTool } from './mcp-listing.ts'
import type { CheckValue } from './outside-schemas.ts'
import { ToolError } from './server-tool.ts'

type Log = { warn(about: object, message: string): void }

/** A tool as it can be used. One whose schema cannot is left out, and the others stay. */
export function withUsableSchemas(tool: ListedTool, label: string, log: Log): ListedTool[] {
  const about = { tool: tool.name.slice(0, 100) }
  const refused = whyRefused(tool.inputSchema)
  if (refused !== null) {
    log.warn({ ...about, reason: refused }, `${label} has a tool that is left out: its inputSchema is refused`)
    return []
  }
  const { outputSchema, ...rest } = tool
  const unusable = outputSchema === undefined ? null : whyRefused(outputSchema)
  if (unusable === null) return [tool]
  log.warn(
    { ...about, reason: unusable },
    `${label} has a tool whose results are not checked: its outputSchema is refused`,
  )
  return [rest]
}

function whyRefused(schema: JsonObject): string | null {
  try {
    readOutsideSchema(schema)
    return null
  } catch (error) {
    if (error instanceof SchemaRefused) return error.message
    throw error
  }
}

/**
 * A tool with an `outputSchema` must give structured content that fits it
 * (https://modelcontextprotocol.io/specification/2025-06-18/server/tools#output-schema). Throws a {@link ToolError} for
 * one that does not.
 */
export async function checkOutput(
  schema: JsonObject | undefined,
  { structuredContent }: Record<string, unknown>,
  { checkValue, hide }: { checkValue: CheckValue; hide: HideSecrets },
): Promise<void> {
  if (schema === undefined) return
  if (!isJsonObject(structuredContent))
    throw new ToolError('the result lacks the structured content that was promised.')
  const issues = await checkValue(schema, structuredContent)
  if (issues.length === 0) return
  // Names of members are the server's own words.
  const told = hide(issues.map((issue) => `result${issue}`).join('; '))
  throw new ToolError(`the result is not as it was promised: ${told}.`)
}

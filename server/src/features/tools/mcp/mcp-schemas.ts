import { isJsonObject, type JsonObject } from '../../../lib/json.ts'
import type { HideSecrets } from '../hiding/hide-secrets.ts'
import { type CheckValue, type RefusalOf, ToolError } from '../server-tool.ts'
import type { ListedTool } from './mcp-listing.ts'

type Log = { warn(about: object, message: string): void }

/** The tools as they can be used. One whose schema cannot is left out, and the others stay. */
export async function usableOf(
  tools: readonly ListedTool[],
  label: string,
  { refusalOf, log }: { refusalOf: RefusalOf; log: Log },
): Promise<ListedTool[]> {
  const usable: ListedTool[] = []
  for (const tool of tools) {
    const { outputSchema, ...rest } = tool
    const about = { tool: tool.name.slice(0, 100) }
    const wrongInput = await refusalOf(tool.inputSchema)
    const wrongOutput = outputSchema && (await refusalOf(outputSchema))
    if (wrongInput) log.warn({ ...about, ...wrongInput }, `a tool of ${label} is left out for its inputSchema`)
    else if (wrongOutput) log.warn({ ...about, ...wrongOutput }, `results of a tool of ${label} are not checked`)
    if (!wrongInput) usable.push(wrongOutput ? rest : tool)
  }
  return usable
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

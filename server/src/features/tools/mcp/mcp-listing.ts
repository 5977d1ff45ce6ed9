import type { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { isJsonObject, type JsonObject, type JsonValue } from '../../../lib/json.ts'
import type { HideSecrets } from '../hiding/hide-secrets.ts'

/** Pages of a list that are read, tools of one server that are offered, and UTF-16 units of one and of all as JSON. */
const MOST_PAGES = 20
const MOST_TOOLS = 128
const LONGEST_TOOL = 65_536
const LONGEST_LIST = 262_144
/** UTF-16 units of a description. */
const LONGEST_DESCRIPTION = 4_000

export type ListedTool = {
  name: string
  description: string
  inputSchema: JsonObject
  /** What the structured content of a result has to be like; absent where the server says nothing that can be checked. */
  outputSchema?: JsonObject
}
export type Listing = {
  tools: ListedTool[]
  /** How many are not offered, by why. */
  left: Record<string, number>
}

/**
 * The tools of an MCP server, as far as they can be offered: not those that can only be called as tasks
 * (https://modelcontextprotocol.io/specification/2025-11-25/basic/utilities/tasks), and no more and no larger ones than a
 * model can be told of. What the server says of them is without what was secret in the request.
 */
export async function listTools(
  client: Client,
  hide: HideSecrets,
  options: { timeout: number; signal: AbortSignal },
): Promise<Listing> {
  // Read as any result: the schema of a list would look at each of a million tools.
  const { ResultSchema } = await import('@modelcontextprotocol/sdk/types.js')
  const tools: ListedTool[] = []
  const left: Record<string, number> = {}
  let length = 0
  let cursor: string | undefined
  for (let page = 0; page < MOST_PAGES && tools.length < MOST_TOOLS; page++) {
    const params = cursor === undefined ? {} : { cursor }
    const result = (await client.request({ method: 'tools/list', params }, ResultSchema, options)) as JsonObject
    const listed = Array.isArray(result['tools']) ? result['tools'] : []
    for (const [i, one] of listed.entries()) {
      if (tools.length === MOST_TOOLS) {
        left['too many'] = listed.length - i
        break
      }
      const tool = toListed(one, hide)
      const size = typeof tool === 'string' ? 0 : JSON.stringify(tool).length
      const obstacle =
        typeof tool === 'string' ? tool : size > LONGEST_TOOL || length + size > LONGEST_LIST ? 'too large' : null
      if (obstacle !== null || typeof tool === 'string') left[obstacle ?? ''] = (left[obstacle ?? ''] ?? 0) + 1
      else {
        tools.push(tool)
        length += size
      }
    }
    const { nextCursor } = result
    if (typeof nextCursor !== 'string') break
    cursor = nextCursor
  }
  return { tools, left }
}

/** A word for what cannot be offered. */
function toListed(tool: JsonValue, hide: HideSecrets): ListedTool | string {
  if (!isJsonObject(tool)) return 'no tool'
  const { name, description, inputSchema, outputSchema, execution } = tool
  if (typeof name !== 'string' || name === '' || !isJsonObject(inputSchema)) return 'no tool'
  if (isJsonObject(execution) && execution['taskSupport'] === 'required') return 'needs a task'
  if (hide(name) !== name) return 'named like a secret'
  const text = typeof description === 'string' ? hide(description.slice(0, LONGEST_DESCRIPTION)) : ''
  const listed = { name, description: text, inputSchema: hideIn(inputSchema, hide) as JsonObject }
  return isJsonObject(outputSchema) ? { ...listed, outputSchema } : listed
}

function hideIn(value: JsonValue, hide: HideSecrets): JsonValue {
  if (typeof value === 'string') return hide(value)
  if (Array.isArray(value)) return value.map((item) => hideIn(item, hide))
  if (!isJsonObject(value)) return value
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [hide(name), hideIn(member, hide)]))
}

import type { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { isJsonObject, type JsonObject, type JsonValue } from '../../../lib/json.ts'
import type { HideSecrets } from '../hiding/hide-secrets.ts'
import { type ListedTool, toListed } from './listed-tool.ts'

/** Pages of a list that are read, tools of one server that are offered, and UTF-16 units of all of them as JSON. */
const MOST_PAGES = 50
const MOST_TOOLS = 512
const LONGEST_LIST = 262_144
/** What is left out and named; of the rest there is the number. */
const MOST_NAMED = 20

/** A tool that is not offered, or not as it is listed, and why. */
export type LeftTool = { tool: string; why: string }
export type Listing = {
  tools: ListedTool[]
  left: LeftTool[]
  /** How many more than those in `left` are not offered. */
  more: number
  /** What is odd about the list itself. */
  remarks: string[]
}

/**
 * The tools of an MCP server, as far as they can be offered: not those that can only be called as tasks
 * (https://modelcontextprotocol.io/specification/2025-11-25/basic/utilities/tasks), and no more and no larger ones than can
 * be kept. One that is not as it should be loses only itself. What the server says of them is without what was secret in the
 * request.
 */
export async function listTools(
  client: Client,
  hide: HideSecrets,
  options: { timeout: number; signal: AbortSignal },
): Promise<Listing> {
  // Read as any result: the schema of a list would look at each of a million tools.
  const { ResultSchema } = await import('@modelcontextprotocol/sdk/types.js')
  const listing: Listing = { tools: [], left: [], more: 0, remarks: [] }
  const names = new Set<string>()
  let length = 0
  const leave = (one: JsonValue | undefined, why: string) => {
    const name = isJsonObject(one) && typeof one['name'] === 'string' ? one['name'] : '?'
    if (listing.left.length === MOST_NAMED) listing.more++
    else listing.left.push({ tool: hide(name.slice(0, 100)), why })
  }
  const take = (one: JsonValue) => {
    const read = toListed(one, hide)
    if (typeof read === 'string') return leave(one, read)
    if (names.has(read.tool.name)) return leave(one, 'there is another tool of this name')
    if (length + read.size > LONGEST_LIST) return leave(one, `all together have more than ${LONGEST_LIST} characters`)
    names.add(read.tool.name)
    length += read.size
    listing.tools.push(read.tool)
  }

  const cursors = new Set<string>()
  for (let cursor: string | undefined, page = 1; ; page++) {
    const params = cursor === undefined ? {} : { cursor }
    const result = (await client.request({ method: 'tools/list', params }, ResultSchema, options)) as JsonObject
    const listed = Array.isArray(result['tools']) ? result['tools'] : []
    if (!Array.isArray(result['tools'])) listing.remarks.push('an answer to tools/list has no list')
    for (const [i, one] of listed.entries()) {
      if (listing.tools.length === MOST_TOOLS) {
        leave(one, `the server has more than ${MOST_TOOLS}`)
        listing.more += listed.length - i - 1
        break
      }
      take(one)
    }
    const { nextCursor } = result
    // Some end their list with null or nothing in it.
    if (typeof nextCursor !== 'string' || nextCursor === '' || listing.tools.length === MOST_TOOLS) return listing
    if (cursors.has(nextCursor)) listing.remarks.push('the list does not come to an end: a cursor was given twice')
    if (page === MOST_PAGES) listing.remarks.push(`the list has more than ${MOST_PAGES} pages`)
    if (cursors.has(nextCursor) || page === MOST_PAGES) return listing
    cursors.add(nextCursor)
    cursor = nextCursor
  }
}

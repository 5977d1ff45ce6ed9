import type { ToolDefinition } from '../../models/tool-call.ts'
import type { ServerTool } from './server-tool.ts'
import { createToolSearch, FIND_TOOLS } from './tool-search.ts'

/** Tools that a model is told of at a time: what OpenAI takes; others take about as many. */
const MOST_DEFINITIONS = 128
/** Of tools that are not offered, those that the log names. */
const MOST_NAMED = 50

export type FoundTool = { definition: ToolDefinition; tool: ServerTool | 'client' }
export type OfferedTools = {
  /** With a search they become more from step to step. */
  definitions(): readonly ToolDefinition[]
  find(name: string): ServerTool | 'client' | undefined
  /** Names of those that the model is not told of. */
  left: readonly string[]
  /** In sentences for those who send messages. */
  warnings: readonly string[]
}

/**
 * What a model is told of: the configuration's own tools, and those of MCP servers as far as a provider takes them. When
 * there are more, the last are left out; or with `isSearched` the model is told of none of the servers', and gets
 * `find_tools` to look for them.
 */
export function offerTools(
  own: readonly FoundTool[],
  ofServers: readonly FoundTool[],
  isSearched: boolean,
): OfferedTools {
  const found = new Map<string, ServerTool | 'client'>()
  const named = [...own, ...ofServers].map(({ definition, tool }, i) => {
    // Those of the configuration have names of their own.
    const name = i < own.length ? definition.name : freeName(definition.name, found)
    found.set(name, tool)
    return { ...definition, name }
  })
  const find = (name: string) => found.get(name)
  if (named.length <= MOST_DEFINITIONS) return { definitions: () => named, find, left: [], warnings: [] }

  const ours = named.slice(0, own.length)
  if (isSearched) {
    const name = freeName(FIND_TOOLS, found)
    const search = createToolSearch(name, named.slice(own.length), MOST_DEFINITIONS - own.length - 1)
    found.set(name, search.tool)
    return { definitions: () => [...ours, search.definition, ...search.shown()], find, left: [], warnings: [] }
  }
  const left = named.slice(MOST_DEFINITIONS).map(({ name }) => name)
  for (const name of left) found.delete(name)
  const warning =
    `${left.length} of ${named.length} tools are not offered to the model, which takes ${MOST_DEFINITIONS}: ` +
    'name those that are needed in tools, or set toolSearch'
  const offered = named.slice(0, MOST_DEFINITIONS)
  return { definitions: () => offered, find, left: left.slice(0, MOST_NAMED), warnings: [warning] }
}

/** Two servers may have tools with the same name: the later ones get a number. */
function freeName(name: string, taken: ReadonlyMap<string, unknown>): string {
  if (!taken.has(name)) return name
  for (let n = 2; ; n++) {
    const other = `${name.slice(0, 60)}_${n}`
    if (!taken.has(other)) return other
  }
}

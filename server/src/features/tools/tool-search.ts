import type { ToolDefinition } from '../../models/tool-call.ts'
import { type ServerTool, ToolError } from './server-tool.ts'

/** What the tool is called that finds others, where no other is called so. */
export const FIND_TOOLS = 'find_tools'

/** Tools that one search finds, and UTF-16 units of a description in what it says. */
const MOST_FOUND = 8
const SHOWN_OF_DESCRIPTION = 200

/**
 * A tool that finds others by words. What it has found, the model is told of from the next step of the reply on; of at most
 * `most` at a time, so that what was found first goes first.
 */
export function createToolSearch(name: string, tools: readonly ToolDefinition[], most: number) {
  const words = tools.map((tool) => ({ tool, name: wordsOf(tool.name), about: wordsOf(tool.description) }))
  const shown = new Map<string, ToolDefinition>()

  function search(query: string): ToolDefinition[] {
    const wanted = wordsOf(query)
    return words
      .map(({ tool, name: ofName, about }) => {
        const score = wanted.map((word) => (has(ofName, word) ? 3 : 0) + (has(about, word) ? 1 : 0))
        return { tool, score: tool.name === query.trim() ? Number.POSITIVE_INFINITY : sum(score) }
      })
      .filter(({ score }) => score > 0)
      .toSorted((a, b) => b.score - a.score)
      .slice(0, Math.min(MOST_FOUND, most))
      .map((one) => one.tool)
  }

  function show(found: readonly ToolDefinition[]): void {
    for (const tool of found) {
      shown.delete(tool.name)
      shown.set(tool.name, tool)
    }
    for (const oldest of shown.keys()) {
      if (shown.size <= most) return
      shown.delete(oldest)
    }
  }

  const definition: ToolDefinition = {
    name,
    description:
      `Finds tools by what they do. There are ${tools.length} more tools than those you see: say in a few words what you ` +
      'need, and then call what was found.',
    inputSchema: {
      type: 'object',
      properties: { query: { type: 'string', description: 'Words such as: create invoice' } },
      required: ['query'],
    },
  }
  const tool: ServerTool = {
    requiresApproval: false,
    async call({ query }) {
      if (typeof query !== 'string' || query.trim() === '') throw new ToolError('the input lacks query.')
      const found = search(query)
      if (found.length === 0) return 'No tool was found. Try other words.'
      show(found)
      return found
        .map((one) => `${one.name}: ${one.description.replaceAll(/\s+/g, ' ').slice(0, SHOWN_OF_DESCRIPTION)}`)
        .join('\n')
    },
  }
  return { definition, tool, shown: (): ToolDefinition[] => [...shown.values()] }
}

/** In lower case; `createInvoice` and `create_invoice` are two words. */
function wordsOf(text: string): string[] {
  const apart = text.replaceAll(/(\p{Ll})(\p{Lu})/gu, '$1 $2').toLowerCase()
  return [...new Set(apart.match(/[\p{L}\p{N}]+/gu) ?? [])]
}

/** Whether one of the words begins with the other, as `invoices` does with `invoice`. */
function has(words: readonly string[], wanted: string): boolean {
  return words.some((word) => word.startsWith(wanted) || (word.length > 3 && wanted.startsWith(word)))
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
}

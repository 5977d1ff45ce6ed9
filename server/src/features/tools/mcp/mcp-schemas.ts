import { AppError } from '../../../errors.ts'
import { isJsonObject, type JsonObject } from '../../../lib/json.ts'
import type { HideSecrets } from '../hiding/hide-secrets.ts'
import { type CheckValue, type CompileSchemas, ToolError } from '../server-tool.ts'
import type { ListedTool } from './listed-tool.ts'
import { withoutPatterns } from './mend-schema.ts'

/** What is wrong with a tool's schema, and what is done about it. */
export type OddSchema = { tool: string; path: string; issue: string; isLeft: boolean; consequence: string }

/** Tools whose schemas take too long to compile before the others are believed as they are: each costs seconds. */
const MOST_SLOW = 2

/**
 * The tools as they can be used. One whose `inputSchema` cannot be is left out and the others stay, because a provider may
 * refuse all for one; an `outputSchema` that cannot be is not used.
 */
export async function usableOf(
  tools: readonly ListedTool[],
  compile: CompileSchemas,
): Promise<{ usable: ListedTool[]; odd: OddSchema[] }> {
  const all = tools.flatMap(({ inputSchema, outputSchema }) =>
    outputSchema ? [inputSchema, outputSchema] : [inputSchema],
  )
  // Nearly always all are fine, and one look is enough.
  if ((await wrongIn(all, compile)) === null) return { usable: [...tools], odd: [] }
  const usable: ListedTool[] = []
  const odd: OddSchema[] = []
  let slow = 0
  for (const tool of tools) {
    if (slow === MOST_SLOW) {
      usable.push(tool)
      continue
    }
    const { outputSchema, ...rest } = tool
    const about = (wrong: { path: string; issue: string }, consequence: string) => {
      if (wrong.issue.includes('too long')) slow++
      const isLeft = consequence === LEFT_OUT
      odd.push({ tool: tool.name.slice(0, 100), path: wrong.path, issue: wrong.issue, isLeft, consequence })
    }
    const wrongInput = await wrongIn([tool.inputSchema], compile)
    const wrongOutput = outputSchema ? await wrongIn([outputSchema], compile) : null
    const mended = wrongInput && (await mend(tool.inputSchema, wrongInput, compile))
    if (wrongInput) about(wrongInput, mended ? 'is offered without its patterns' : LEFT_OUT)
    else if (wrongOutput) about(wrongOutput, 'has results that are not checked')
    if (wrongInput && !mended) continue
    usable.push({ ...(wrongOutput ? rest : tool), inputSchema: mended ?? tool.inputSchema })
  }
  return { usable, odd }
}

const LEFT_OUT = 'is left out for its inputSchema'

/** Null if nothing can be seen to be wrong, also where nobody can look at the moment. */
async function wrongIn(schemas: readonly JsonObject[], compile: CompileSchemas) {
  try {
    return await compile(schemas)
  } catch (error) {
    if (error instanceof AppError) return null
    throw error
  }
}

async function mend(
  schema: JsonObject,
  { issue }: { issue: string },
  compile: CompileSchemas,
): Promise<JsonObject | null> {
  if (!/regular expression/i.test(issue)) return null
  const mended = withoutPatterns(schema)
  return (await wrongIn([mended], compile)) === null ? mended : null
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

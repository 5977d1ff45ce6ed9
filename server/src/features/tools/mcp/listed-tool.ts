import { isJsonObject, type JsonObject, type JsonValue, jsonDepth } from '../../../lib/json.ts'
import type { HideSecrets } from '../hiding/hide-secrets.ts'
import { withoutNulls } from './mend-schema.ts'

/** UTF-16 units of a description, and of a tool as JSON. */
const LONGEST_DESCRIPTION = 4_000
const LONGEST_TOOL = 65_536
/** Levels of a tool: what is deeper cannot be written as JSON. */
const MOST_LEVELS = 200

export type ListedTool = {
  name: string
  description: string
  inputSchema: JsonObject
  /** What the structured content of a result has to be like; absent where the server says nothing that can be checked. */
  outputSchema?: JsonObject
}

/**
 * A tool as a server lists it, or in a few words why it cannot be offered. Members that are null are as if they were not
 * there, and a tool without `inputSchema` has no parameters: many servers write it so.
 */
export function toListed(tool: JsonValue | undefined, hide: HideSecrets): { tool: ListedTool; size: number } | string {
  if (!isJsonObject(tool)) return 'it is no object'
  const { name, description, inputSchema, outputSchema, execution } = tool
  if (typeof name !== 'string' || name === '') return 'it has no name'
  if (inputSchema != null && !isJsonObject(inputSchema)) return 'its inputSchema is no object'
  if (isJsonObject(execution) && execution['taskSupport'] === 'required') return 'it can only be called as a task'
  if (hide(name) !== name) return 'it is named like a secret'
  if (jsonDepth([inputSchema, outputSchema], MOST_LEVELS) > MOST_LEVELS) {
    return `its schemas have more than ${MOST_LEVELS} levels`
  }
  const schema = withoutNulls(inputSchema ?? {})
  const { type = 'object' } = schema
  if (type !== 'object' && !(Array.isArray(type) && type.includes('object'))) {
    return 'the type of its inputSchema is not object'
  }
  const text = typeof description === 'string' ? hide(description.slice(0, LONGEST_DESCRIPTION)) : ''
  const listed: ListedTool = {
    name,
    description: text,
    inputSchema: hideIn({ ...schema, type: 'object' }, hide) as JsonObject,
  }
  if (isJsonObject(outputSchema)) listed.outputSchema = withoutNulls(outputSchema)
  const size = JSON.stringify(listed).length
  return size > LONGEST_TOOL ? `it has more than ${LONGEST_TOOL} characters` : { tool: listed, size }
}

function hideIn(value: JsonValue, hide: HideSecrets): JsonValue {
  if (typeof value === 'string') return hide(value)
  if (Array.isArray(value)) return value.map((item) => hideIn(item, hide))
  if (!isJsonObject(value)) return value
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [hide(name), hideIn(member, hide)]))
}

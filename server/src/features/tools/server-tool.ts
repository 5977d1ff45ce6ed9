import type { JsonObject } from '../../lib/json.ts'
import { printable } from '../../lib/text/printable.ts'
import type { ModelFile } from '../../models/model-file.ts'

/** What is wrong with a value: nothing, or some issues such as `/city must be string`. */
export type CheckValue = (schema: JsonObject, value: JsonObject) => Promise<string[]>

/** Compiles schemas. Null if all can be used, else what is wrong with one of them, and where. */
export type CompileSchemas = (schemas: readonly JsonObject[]) => Promise<{ path: string; issue: string } | null>

/** What came of a call: a text, or one with files, of which the text says that they are there. */
export type ToolAnswer = string | { content: string; files: readonly ModelFile[] }

/** A tool that the server runs. */
export type ServerTool = {
  requiresApproval: boolean
  /** What the model gets to see. Throws a {@link ToolError} for what went wrong, and when `signal` is aborted. */
  call(input: JsonObject, signal: AbortSignal): Promise<ToolAnswer>
}

/** Something that went wrong with a tool, in words for the model. */
export class ToolError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(printable(message), options)
    this.name = 'ToolError'
  }
}

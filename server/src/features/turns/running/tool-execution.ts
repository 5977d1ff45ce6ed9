import { QueueFullError } from '../../../lib/fairness/fair-queue.ts'
import type { ModelFile } from '../../../models/model-file.ts'
import type { ToolCall } from '../../../models/tool-call.ts'
import { ToolError } from '../../tools/server-tool.ts'
import type { Toolbox } from '../../tools/toolbox.ts'
import type { RunLog } from '../reply/reply-log.ts'

/** UTF-16 units of a result that the model gets to see; about 5,000 tokens of English. */
export const MOST_RESULT_LENGTH = 20_000

/** Asks somebody whether a call may be made. Resolves with `left` when the signal came first. */
export type AskApproval = (call: ToolCall, signal: AbortSignal) => Promise<'approved' | 'rejected' | 'expired' | 'left'>

export type Execution = {
  calls: readonly ToolCall[]
  toolbox: Toolbox
  reply: RunLog
  signal: AbortSignal
  askApproval: AskApproval
  /** Resolves when it is the turn of a call that is made here, with the function that ends it. */
  enterCall(signal: AbortSignal): Promise<() => void>
  onFiles(files: readonly ModelFile[]): void
  onFault(error: unknown): void
}

/**
 * Makes the calls of one step, all at the same time, and adds each result to the reply when it is there. What the client
 * has to run stays open, and so does what was interrupted. The calls must be stored before: whoever finds them without
 * a result after a crash knows that they may have been made.
 */
export async function executeCalls({ calls, ...rest }: Execution): Promise<void> {
  await Promise.all(calls.map((call) => executeCall(call, rest)))
}

async function executeCall(call: ToolCall, execution: Omit<Execution, 'calls'>): Promise<void> {
  const content = await resultOf(call, execution)
  if (content === null) return
  execution.reply.append({ kind: 'result', toolCallId: call.id, name: call.name, content: presentable(content) })
}

/** Null for a call that stays open. */
async function resultOf(call: ToolCall, execution: Omit<Execution, 'calls'>): Promise<string | null> {
  const { toolbox, signal, askApproval, enterCall, onFiles, onFault } = execution
  const tool = toolbox.find(call.name)
  if (tool === undefined) return `Error: there is no tool called ${call.name}.`
  const fault = faultOf(call, toolbox)
  if (fault !== null) return `Error: ${fault} Nothing was called; call it again with all that it needs.`
  if (tool === 'client') return null
  try {
    const decision = tool.requiresApproval ? await askApproval(call, signal) : 'approved'
    if (decision === 'rejected') return 'Error: the user has not allowed this call.'
    if (decision === 'expired') return 'Error: nobody has allowed this call in time.'
    if (decision === 'left' || signal.aborted) return null
    const leave = await enterCall(signal)
    const answer = await tool.call(call.input, signal).finally(leave)
    if (typeof answer === 'string') return answer
    onFiles(answer.files)
    return answer.content
  } catch (error) {
    if (signal.aborted) return null
    if (error instanceof QueueFullError) return 'Error: too many tools are being called at the moment.'
    if (error instanceof ToolError) return `Error: ${error.message}`
    onFault(error)
    return 'Error: the tool failed in the server.'
  }
}

/** What is wrong with an input before anybody looks at it closely: a call that came in pieces may have lost them. */
function faultOf({ name, input, invalidInput }: ToolCall, { definitions }: Toolbox): string | null {
  if (invalidInput !== undefined) {
    const shown = invalidInput.length > MOST_SHOWN ? `${invalidInput.slice(0, MOST_SHOWN)}…` : invalidInput
    return `the input is no JSON object: ${shown}`
  }
  if (Object.keys(input).length > 0) return null
  const required = definitions.find((definition) => definition.name === name)?.inputSchema['required']
  if (!Array.isArray(required) || required.length === 0) return null
  return `the input is empty, and ${required.slice(0, 16).join(', ')} must be there.`
}

/** UTF-16 units of an input that cannot be read which the model is shown again. */
const MOST_SHOWN = 1_000

/** A result as it can be stored everywhere, and no longer than a model should have to read. */
export function presentable(content: string): string {
  const clean = (text: string) => text.replaceAll('\0', '\ufffd').toWellFormed()
  if (content.length <= MOST_RESULT_LENGTH) return clean(content)
  const shown = clean(content.slice(0, MOST_RESULT_LENGTH))
  return `${shown}\n(Cut: these are the first ${MOST_RESULT_LENGTH} of ${content.length} characters.)`
}

import type { Thoughts } from '../../../models/thinking/thoughts.ts'
import type { ToolCall } from '../../../models/tool-call.ts'

/**
 * What happens in a reply, in order: a piece of text is a string, because most events are that. `calls` ends what the
 * model said in one step; each result comes when it is there; `waiting` says which calls somebody has to approve.
 * `thought` is a piece of what the model thought, `wasThought` says that all text of its step so far was, and `beside` is
 * what the provider wants back with the step.
 */
export type ReplyEvent = string | ToolEvent
export type ToolEvent =
  | { kind: 'calls'; calls: readonly ToolCall[] }
  | { kind: 'result'; toolCallId: string; name: string; content: string }
  | { kind: 'waiting'; toolCallIds: readonly string[] }
  | { kind: 'thought'; text: string }
  | { kind: 'wasThought' }
  | { kind: 'beside'; thoughts: Thoughts }

export type ToolResult = { toolCallId: string; content: string }

/** One step of a reply: what the model said, what it called, and what came of that so far. */
export type Step = { text: string; calls: readonly ToolCall[]; results: ToolResult[]; thoughts?: Thoughts }

/** The steps of a reply; only the last may be without calls. */
export function stepsOf(events: readonly ReplyEvent[]): Step[] {
  const steps: Step[] = []
  let texts: string[] = []
  let beside: { thoughts?: Thoughts } = {}
  for (const event of events) {
    if (typeof event === 'string') texts.push(event)
    else if (event.kind === 'calls') {
      steps.push({ text: texts.join(''), calls: event.calls, results: [], ...beside })
      texts = []
      beside = {}
    } else if (event.kind === 'result') {
      steps.at(-1)?.results.push({ toolCallId: event.toolCallId, content: event.content })
    } else if (event.kind === 'wasThought') texts = []
    else if (event.kind === 'beside') beside = { thoughts: event.thoughts }
  }
  if (texts.length > 0) steps.push({ text: texts.join(''), calls: [], results: [], ...beside })
  return steps
}

/** What was said and thought in the step that is under way, or was the last: what no call has ended. */
export function lastSaid(events: readonly ReplyEvent[]): ReplyEvent[] {
  const from = events.findLastIndex((event) => typeof event !== 'string' && ENDS_OF_STEPS.has(event.kind)) + 1
  return events.slice(from).filter((event) => typeof event === 'string' || event.kind === 'thought')
}

/** Whether there is more than thoughts. */
export function hasText(events: readonly ReplyEvent[]): boolean {
  return events.some((event) => typeof event === 'string' || !OF_THOUGHTS.has(event.kind))
}

const OF_THOUGHTS: ReadonlySet<ToolEvent['kind']> = new Set<ToolEvent['kind']>(['thought', 'beside'])
const ENDS_OF_STEPS: ReadonlySet<ToolEvent['kind']> = new Set<ToolEvent['kind']>(['calls', 'result', 'waiting'])

/** What the model has thought in the whole run. */
export function thoughtsIn(events: readonly ReplyEvent[]): string {
  const thoughts: string[] = []
  let texts: string[] = []
  for (const event of events) {
    if (typeof event === 'string') texts.push(event)
    else if (event.kind === 'thought') thoughts.push(event.text)
    else if (event.kind === 'wasThought') {
      thoughts.push(...texts)
      texts = []
    } else if (event.kind === 'calls') {
      texts = []
      thoughts.push('\n\n')
    }
  }
  return thoughts.join('').trim()
}

/** Calls that have no result. */
export function openCalls({ calls, results }: Step): ToolCall[] {
  const answered = new Set(results.map(({ toolCallId }) => toolCallId))
  return calls.filter(({ id }) => !answered.has(id))
}

/** What a call has come to whose result nobody knows. */
export const INTERRUPTED_RESULT =
  'Error: the call was interrupted before its result was known. It may have taken effect, and was not made again.'

/** The results that close what a run has left open that did not come to its end. */
export function repairsOf(events: readonly ReplyEvent[]): ToolEvent[] {
  const last = stepsOf(events).findLast(({ calls }) => calls.length > 0)
  return (last ? openCalls(last) : []).map(({ id, name }) => ({
    kind: 'result' as const,
    toolCallId: id,
    name,
    content: INTERRUPTED_RESULT,
  }))
}

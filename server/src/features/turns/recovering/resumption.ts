import type { Database } from '../../../storage/database.ts'
import { toolsOf } from '../../tools/tool-settings.ts'
import { INTERRUPTED_RESULT, openCalls, type ReplyEvent, stepsOf, type ToolEvent } from '../reply/reply-event.ts'
import { selectDecisions } from '../run/decision-queries.ts'
import type { Run, RunKey } from '../run/run.ts'
import type { AcceptedTurn, Resumption } from '../turn.ts'

/**
 * How a run can go on that waited for an approval: null when there is nothing more to decide about. A call whose approval
 * was taken, or that needed none, may have been made when the server stopped.
 */
export async function toResumption(
  database: Database,
  key: RunKey,
  run: Run,
  events: readonly ReplyEvent[],
  { conversation }: Pick<AcceptedTurn, 'conversation'>,
): Promise<Resumption | null> {
  const last = stepsOf(events).at(-1)
  if (run.status !== 'waiting' || !last) return null
  const from = events.findLastIndex((event) => typeof event !== 'string' && event.kind === 'calls')
  const asked = new Set(
    events
      .slice(from)
      .flatMap((event) => (typeof event !== 'string' && event.kind === 'waiting' ? event.toolCallIds : [])),
  )
  const decisions = await selectDecisions(database, key)
  const taken = new Set(
    decisions.filter(({ decision }) => decision === 'taken').map(({ tool_call_id }) => tool_call_id),
  )
  const ofClient = new Set(
    toolsOf(conversation.configuration).flatMap((tool) => (tool.type === 'client' ? [tool.name] : [])),
  )
  const open = openCalls(last)
  const isUntouched = (id: string) => asked.has(id) && !taken.has(id)
  if (!open.some(({ id }) => isUntouched(id))) return null
  const interrupted = open
    .filter(({ id, name }) => !isUntouched(id) && !ofClient.has(name))
    .map(({ id, name }): ToolEvent => ({ kind: 'result', toolCallId: id, name, content: INTERRUPTED_RESULT }))
  return { events, interrupted }
}

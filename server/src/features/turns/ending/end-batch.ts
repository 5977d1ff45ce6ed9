import type { Clock } from '../../../lib/clock.ts'
import { NIL_UUID, shiftId, successorOf } from '../../../lib/ids.ts'
import { estimateTokens } from '../../../lib/text/token-estimate.ts'
import type { Attempt } from '../../../models/model-call.ts'
import type { Database, Statement } from '../../../storage/database.ts'
import type { Message } from '../../conversations/conversation.ts'
import { titleFrom } from '../../conversations/conversation-name.ts'
import type { ConversationTurns } from '../../conversations/for-turns/conversation-turns.ts'
import { releaseClaimOfRun } from '../../idempotency/idempotency-service.ts'
import { settlement } from '../limits/token-budget.ts'
import { encodeEvents, hasToolEvents } from '../reply/event-codec.ts'
import { deleteChunks, keepEvents } from '../reply/event-queries.ts'
import type { ReplyEvent } from '../reply/reply-event.ts'
import { firstIdOf, messagesOf } from '../reply/reply-messages.ts'
import { deleteDecisions, deleteWaitingCalls } from '../run/decision-queries.ts'
import { releaseTurn } from '../run/hold-queries.ts'
import { leaveLine } from '../run/line-queries.ts'
import type { Reservation, RunEnd, RunKey, RunKind } from '../run/run.ts'
import { endRun } from '../run/run-queries.ts'
import type { SentContext } from '../run/sent-context.ts'

/** Everything that is known of a run when it ends. */
export type EndedTurn = RunKey & {
  /** Under which fence the turn is held; null while it waits for its place. */
  fence: number | null
  kind: RunKind
  userMessageId: string
  replyMessageId: string
  aiSystem: string
  model: string
  attempts: Attempt[]
  firstTokenAt: number | null
  events: readonly ReplyEvent[]
  end: RunEnd
  isUsageEstimated: boolean
  /** What the model was sent. */
  context?: SentContext | null
  /** The idempotency claim of its request: given back when the run has come to nothing. */
  claimId: string | null
  budget: Reservation | null
  /** The question was refused: later turns go without it. False, it is sent again; absent, that stays as it is. */
  isLeftOut?: boolean | undefined
  /** What is older than the question was refused: later turns go without it. */
  isOlderLeftOut?: boolean
  /** What the user said, if the conversation has no name yet. */
  userText: string | null
}

/**
 * The batch that ends a run, and the messages it stores: the reply as a message, the run's record, the conversation's totals, the events' boundaries,
 * the turn and what it had reserved given back. All of it or nothing, and nothing if the turn is no longer held under
 * the fence.
 */
export function endBatch(
  deps: { database: Database; clock: Clock; conversations: ConversationTurns },
  turn: EndedTurn,
): { statements: Statement[]; messages: readonly Message[] } {
  const { database, clock, conversations } = deps
  const { organizationId, conversationId, runId, claimId, end } = turn
  const key = { organizationId, conversationId, runId }
  const endedAt = clock()
  const { replyMessageId, events } = turn
  const isCompleted = end.status === 'completed'
  const messages = messagesOf(events, { runId, replyMessageId, usage: end.usage, at: endedAt, isCompleted })
  const hasReply = messages.length > 0
  const { lengths: eventLengths } = encodeEvents(events)
  // A regenerated reply takes the place of what stands between the question and it, but only once there is one.
  const replaced = () => ({
    from: successorOf(turn.userMessageId),
    before: firstIdOf(replyMessageId),
    by: runId,
    at: endedAt,
  })
  const statements = [
    // The conversation before the turn, as when a turn is accepted: the other way round they deadlock on PostgreSQL.
    ...conversations.settle(key, {
      messages,
      ...end.usage,
      name: hasReply && turn.userText !== null ? titleFrom(turn.userText) : null,
    }),
    turn.fence === null ? leaveLine(database, key) : releaseTurn(database, { ...key, fence: turn.fence }),
    ...(turn.kind === 'regenerate' && hasReply ? conversations.replaceMessages(key, replaced()) : []),
    ...leftOut(conversations, turn),
    endRun(database, {
      ...key,
      ...end.usage,
      status: end.status,
      aiSystem: turn.aiSystem,
      model: turn.model,
      attempts: JSON.stringify(turn.attempts),
      finishReason: end.finishReason,
      error: end.error === null ? null : JSON.stringify(end.error),
      isUsageEstimated: turn.isUsageEstimated ? 1 : 0,
      context: turn.context ? JSON.stringify(turn.context) : null,
      eventLengths,
      firstTokenAt: turn.firstTokenAt,
      endedAt,
    }),
    deleteChunks(database, key),
    ...(hasToolEvents(eventLengths)
      ? [keepEvents(database, key, events), deleteDecisions(database, key), deleteWaitingCalls(database, key)]
      : []),
    ...(claimId !== null && !hasReply ? [releaseClaimOfRun(database, { organizationId, claimId, runId })] : []),
    // Last, as in the batch that reserved: the other turns of the key wait for this row.
    ...settlement(database, key, turn.budget, end.usage),
  ]
  return { statements, messages }
}

/** What is said of messages that were refused, or are not any more. */
function leftOut(conversations: ConversationTurns, turn: EndedTurn): Statement[] {
  const { organizationId, conversationId, runId, userMessageId: from, replyMessageId: to } = turn
  const key = { organizationId, conversationId }
  const older = { from: NIL_UUID, to: shiftId(from, -1), why: 'refused' as const }
  return [
    ...(turn.isLeftOut === true ? [conversations.leaveOutQuestion(key, { from, to, runId })] : []),
    ...(turn.isLeftOut === false ? [conversations.leaveOut(key, { from, to, why: null })] : []),
    ...(turn.isOlderLeftOut ? [conversations.leaveOut(key, older)] : []),
  ]
}

/** Tokens of what a model has said, thought and called, where nobody has counted them. */
export function estimateReply(events: readonly ReplyEvent[]): number {
  const said = events.map((event) => {
    if (typeof event === 'string') return event
    if (event.kind === 'thought') return event.text
    return event.kind === 'calls' ? JSON.stringify(event.calls) : ''
  })
  return estimateTokens(said.join(''))
}

import type { Clock } from '../../lib/clock.ts'
import { successorOf } from '../../lib/ids.ts'
import { estimateTokens } from '../../lib/token-estimate.ts'
import type { Attempt } from '../../models/resilience.ts'
import type { Database, Statement } from '../../storage/database.ts'
import type { ConversationTurns } from '../conversations/conversation-turns.ts'
import { releaseClaimOfRun } from '../idempotency/idempotency-service.ts'
import { encodeLengths } from './event-lengths.ts'
import { deleteChunks } from './event-queries.ts'
import type { Reservation, RunEnd, RunKey, RunKind } from './run.ts'
import { endRun } from './run-queries.ts'
import { titleFrom } from './title.ts'
import { settlement } from './token-budget.ts'
import { releaseTurn } from './turn-queries.ts'
import { leaveLine } from './waiting-queries.ts'

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
  texts: readonly string[]
  end: RunEnd
  isUsageEstimated: boolean
  /** The idempotency claim of its request: given back when the run has come to nothing. */
  claimId: string | null
  budget: Reservation | null
  /** What the user said, if the conversation has no name yet. */
  userText: string | null
}

/**
 * The batch that ends a run: the reply as a message, the run's record, the conversation's totals, the events' boundaries,
 * the turn and what it had reserved given back. All of it or nothing, and nothing if the turn is no longer held under
 * the fence.
 */
export function endingStatements(
  deps: { database: Database; clock: Clock; conversations: ConversationTurns },
  turn: EndedTurn,
): Statement[] {
  const { database, clock, conversations } = deps
  const { organizationId, conversationId, runId, claimId, end } = turn
  const key = { organizationId, conversationId, runId }
  const endedAt = clock()
  const text = turn.texts.join('')
  const hasReply = text !== '' || end.status === 'completed'
  const reply = {
    id: turn.replyMessageId,
    role: 'assistant' as const,
    content: text,
    toolCallId: null,
    name: null,
    runId,
    ...end.usage,
    createdAt: endedAt,
  }
  // A regenerated reply takes the place of what stands between the question and it, but only once there is one.
  const replaced = { from: successorOf(turn.userMessageId), before: turn.replyMessageId, by: runId, at: endedAt }
  return [
    // The conversation before the turn, as when a turn is accepted: the other way round they deadlock on PostgreSQL.
    ...conversations.settle(key, {
      reply: hasReply ? reply : null,
      ...end.usage,
      name: hasReply && turn.userText !== null ? titleFrom(turn.userText) : null,
    }),
    turn.fence === null ? leaveLine(database, key) : releaseTurn(database, { ...key, fence: turn.fence }),
    ...(turn.kind === 'regenerate' && hasReply ? conversations.replaceMessages(key, replaced) : []),
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
      eventLengths: encodeLengths(turn.texts.map((piece) => piece.length)),
      firstTokenAt: turn.firstTokenAt,
      endedAt,
    }),
    deleteChunks(database, key),
    ...(claimId !== null && !hasReply ? [releaseClaimOfRun(database, { organizationId, claimId, runId })] : []),
    // Last, as in the batch that reserved: the other turns of the key wait for this row.
    ...settlement(database, organizationId, turn.budget, end.usage),
  ]
}

/** Tokens of a reply, where nobody has counted them. */
export function estimateReply(texts: readonly string[]): number {
  return estimateTokens(texts.join(''))
}

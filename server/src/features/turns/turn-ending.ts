import type { Clock } from '../../lib/clock.ts'
import { estimateTokens } from '../../lib/token-estimate.ts'
import type { Attempt } from '../../models/resilience.ts'
import type { Database, Statement } from '../../storage/database.ts'
import type { ConversationTurns } from '../conversations/conversation-turns.ts'
import { encodeLengths } from './event-lengths.ts'
import type { RunEnd, RunKey } from './run.ts'
import { titleFrom } from './title.ts'
import { deleteChunks, endRun, releaseTurn } from './turn-queries.ts'

/** Everything that is known of a run when it ends. */
export type EndedTurn = RunKey & {
  fence: number
  replyMessageId: string
  aiSystem: string
  model: string
  attempts: Attempt[]
  firstTokenAt: number | null
  texts: readonly string[]
  end: RunEnd
  isUsageEstimated: boolean
  /** What the user said, if the conversation has no name yet. */
  userText: string | null
}

/**
 * The batch that ends a run: the reply as a message, the run's record, the conversation's totals, the events' boundaries,
 * and the turn given back. All of it or nothing, and nothing if the turn is no longer held under the fence.
 */
export function endingStatements(
  deps: { database: Database; clock: Clock; conversations: ConversationTurns },
  turn: EndedTurn,
): Statement[] {
  const { database, clock, conversations } = deps
  const { organizationId, conversationId, runId, end } = turn
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
  return [
    releaseTurn(database, { ...key, fence: turn.fence }),
    ...conversations.settle(key, {
      reply: hasReply ? reply : null,
      ...end.usage,
      name: hasReply && turn.userText !== null ? titleFrom(turn.userText) : null,
    }),
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
  ]
}

/** Tokens of a reply, where nobody has counted them. */
export function estimateReply(texts: readonly string[]): number {
  return estimateTokens(texts.join(''))
}

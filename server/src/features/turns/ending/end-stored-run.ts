import type { Clock } from '../../../lib/clock.ts'
import { type Database, tryWrite } from '../../../storage/database.ts'
import type { ConversationTurns } from '../../conversations/for-turns/conversation-turns.ts'
import type { ReplyEvent } from '../reply/reply-event.ts'
import type { Run, RunEnd, RunKey } from '../run/run.ts'
import { endBatch } from './end-batch.ts'

/**
 * Ends a run that is stored and not live: nobody executes it here, so its row is all that is known of it. `fence` is the
 * one under which its turn is held, null while it waits in the line. False when it is not held like that any more: it has
 * begun to run, or has ended, in this very moment.
 */
export function endStoredRun(
  deps: { database: Database; clock: Clock; conversations: ConversationTurns },
  key: RunKey,
  run: Run,
  how: { fence: number | null; events: readonly ReplyEvent[]; end: RunEnd; isUsageEstimated: boolean },
): Promise<boolean> {
  const { organizationId, conversationId, runId } = key
  const { kind, userMessageId, replyMessageId, aiSystem, model, attempts, firstTokenAt, budget, claimId } = run
  const { statements } = endBatch(deps, {
    organizationId,
    conversationId,
    runId,
    kind,
    userMessageId,
    replyMessageId,
    aiSystem,
    model,
    attempts,
    firstTokenAt,
    budget,
    claimId,
    userText: null,
    ...how,
  })
  return tryWrite(deps.database, statements)
}

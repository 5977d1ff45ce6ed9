import type { Database, Statement } from '../../../storage/database.ts'
import type { TokenBudgets } from '../limits/token-budget.ts'
import { holdConversation } from '../run/hold-queries.ts'
import { joinLine } from '../run/line-queries.ts'
import { insertRun } from '../run/run-queries.ts'
import type { TurnOrigin } from '../turn.ts'
import type { Draft } from './turn-draft.ts'

/** How many turns may wait for one conversation. */
export const MOST_WAITING = 20

/** The batch that makes a turn exist; `change` is what it does to the conversation, and locks it first. */
export function beginBatch(
  deps: { database: Database; budgets: Pick<TokenBudgets, 'reserve'>; nodeId: string; leaseMs: number },
  turn: Draft,
  origin: TurnOrigin,
  change: readonly Statement[],
): Statement[] {
  const { database, budgets, nodeId, leaseMs } = deps
  const { organizationId, conversationId, runId } = turn
  const holder = {
    organization_id: organizationId,
    conversation_id: conversationId,
    run_id: runId,
    node_id: nodeId,
    expires_at: turn.acceptedAt + leaseMs,
  }
  return [
    ...(origin.claim ? [origin.claim.statement(turn)] : []),
    ...change,
    turn.isInLine
      ? joinLine(database, { ...holder, most: MOST_WAITING })
      : holdConversation(database, { ...holder, fence: turn.fence }),
    insertRun(database, {
      organizationId,
      conversationId,
      runId,
      ...turn.target,
      kind: turn.kind,
      userMessageId: turn.userMessage.id,
      replyMessageId: turn.replyMessageId,
      requestId: origin.requestId,
      onCrash: origin.onCrash,
      claimId: turn.claimId,
      apiKeyId: origin.keyId,
      budgetDay: turn.budget?.day ?? null,
      at: turn.acceptedAt,
      reservedTokens: turn.budget?.reservedTokens ?? 0,
      status: turn.isInLine ? 'accepted' : 'running',
      startedAt: turn.isInLine ? null : turn.acceptedAt,
    }),
    // Last: the other turns of the key wait for this row, and any other conflict is to be named first.
    ...budgets.reserve(origin, turn.budget),
  ]
}

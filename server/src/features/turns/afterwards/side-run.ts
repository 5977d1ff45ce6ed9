import type { Clock } from '../../../lib/clock.ts'
import type { GenerateOptions, Resilience } from '../../../models/calling/resilience.ts'
import type { ModelCaller } from '../../../models/model.ts'
import type { CallOutcome, ChainLink, UpcomingAttempt } from '../../../models/model-call.ts'
import type { ModelSettings } from '../../../models/settings.ts'
import type { Database, Statement } from '../../../storage/database.ts'
import type { ConversationTurns } from '../../conversations/for-turns/conversation-turns.ts'
import type { Context } from '../context/window.ts'
import { type RunEndDraft, verdictOf } from '../ending/verdict.ts'
import { plannedCall, type SideBudget } from '../limits/call-budget.ts'
import type { TokenBudgets } from '../limits/token-budget.ts'
import { encodeEvents } from '../reply/event-codec.ts'
import { createTextCleaner } from '../reply/text-cleaner.ts'
import type { RunKey, Usage } from '../run/run.ts'
import { endRun, insertRun } from '../run/run-queries.ts'
import type { AcceptedTurn } from '../turn.ts'

/** What making and recording side calls takes. */
export type SideDeps = {
  database: Database
  clock: Clock
  conversations: ConversationTurns
  models: Pick<Resilience, 'generate'>
  budgets: Pick<TokenBudgets, 'beside'>
  /** Told of each call, for the metrics. */
  onCalled?: (call: { aiSystem: string } & Usage) => void
}

/** A call of a model that the server makes by itself, behind a turn. */
export type SideCall = {
  chain: readonly [ChainLink, ...ChainLink[]]
  /** Of the turn behind which it is made. */
  caller: ModelCaller
  context: Context
  settings: ModelSettings & { maxTokens: number }
  /** What it may cost; null where nobody counts. */
  budget: SideBudget | null
  signal: AbortSignal
}

/** What came of it, and who it was that answered, or was asked last. */
export type SideResult = SideCall & {
  outcome: CallOutcome
  text: string
  aiSystem: string
  model: string
  end: RunEndDraft
  startedAt: number
}

/** Asks a model away from any turn. Null when who pays for it has not enough left: then nobody was asked. */
export async function callAside(
  deps: Pick<SideDeps, 'models' | 'clock' | 'onCalled'>,
  call: SideCall,
): Promise<SideResult | null> {
  const startedAt = deps.clock()
  const cleaner = createTextCleaner()
  const texts: string[] = []
  const { context, settings, budget } = call
  const request: GenerateOptions['request'] = { ...context, settings, signal: call.signal }
  const plan = { ...context, beside: {}, spent: 0, reply: settings.maxTokens }
  const outcome = await deps.models.generate({
    chain: call.chain,
    caller: call.caller,
    request,
    ...(budget && { admit: (attempt: UpcomingAttempt) => budget.admit(plannedCall(plan, attempt)) }),
    onText: (text) => texts.push(cleaner.push(text)),
    onWasThought() {
      texts.length = 0
    },
  })
  if (outcome.attempts.length > 0 && outcome.attempts.every((attempt) => attempt.outcome === 'unaffordable'))
    return null
  texts.push(cleaner.flush())
  const text = texts.join('')
  const { aiSystem, model } = outcome.ok ? outcome : (outcome.attempts.at(-1) ?? call.chain[0])
  const progress = { context: call.context, outcome, firstTokenAt: null, aiSystem, model }
  const end = verdictOf('running', progress, text === '' ? [] : [text], null, null)
  deps.onCalled?.({ aiSystem, ...end.usage })
  return { ...call, outcome, text, aiSystem, model, end, startedAt }
}

/**
 * The statements that record a side call as a run of its own, because what it cost belongs to the conversation: its
 * totals are the sum over its runs. It is written when it is over; the key whose turn it was made behind pays for it.
 */
export function sideRunStatements(
  deps: Pick<SideDeps, 'database' | 'clock' | 'conversations'>,
  run: RunKey & { kind: 'summary' | 'title'; behind: Omit<AcceptedTurn, 'fence'>; apiKeyId: string | null },
  result: SideResult,
): Statement[] {
  const { database, clock, conversations } = deps
  const { organizationId, conversationId, runId, kind, behind } = run
  const { outcome, aiSystem, model, end, budget } = result
  const key = { organizationId, conversationId, runId }
  return [
    ...conversations.settle(key, { messages: [], ...end.usage, name: null }),
    insertRun(database, {
      ...key,
      kind,
      aiSystem,
      model,
      status: 'running',
      onCrash: 'keep',
      requestId: null,
      claimId: null,
      userMessageId: behind.userMessage.id,
      replyMessageId: runId,
      apiKeyId: run.apiKeyId,
      budgetDay: behind.budget?.day ?? null,
      reservedTokens: 0,
      at: result.startedAt,
      startedAt: result.startedAt,
    }),
    {
      ...endRun(database, {
        ...key,
        ...end.usage,
        status: end.status,
        aiSystem,
        model,
        finishReason: end.finishReason,
        attempts: JSON.stringify(outcome.attempts),
        error: end.error === null ? null : JSON.stringify(end.error),
        isUsageEstimated: end.isUsageEstimated ? 1 : 0,
        context: null,
        // What it said is not a reply that anybody reads again.
        eventLengths: encodeEvents([]).lengths,
        firstTokenAt: outcome.attempts.at(-1)?.firstTokenAt ?? null,
        endedAt: clock(),
      }),
      // It ends the run that has just been put in.
      isIndependent: false,
    },
    ...(budget?.settle(end.usage) ?? []),
  ]
}

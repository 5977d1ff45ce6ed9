import { AppError } from '../../../errors.ts'
import type { Clock } from '../../../lib/clock.ts'
import { ModelError } from '../../../models/model-error.ts'
import type { Database, Statement } from '../../../storage/database.ts'
import type { ConversationForTurn, Message } from '../../conversations/conversation.ts'
import { chainOf, replyTokens, windowOf } from '../context/build-context.ts'
import { besideOf, mostPromptTokens } from '../context/prompt-tokens.ts'
import type { Earlier, TurnContexts } from '../context/turn-contexts.ts'
import type { Reservation, RunKey, Usage } from '../run/run.ts'
import { reserveTokens, selectBudget, settleTokens } from './budget-queries.ts'
import { createRunBudget, createSideBudget, LEAST_REPLY, type RunBudget, type SideBudget } from './call-budget.ts'

/** Who pays for a turn; `dailyTokens` is null for a key without a budget. */
export type Payer = { organizationId: string; keyId: string; dailyTokens: number | null }

/** A turn that is about to be accepted, as far as its context goes. */
export type PlannedTurn = { conversation: ConversationForTurn; userMessage: Message }
/** What a turn is to reserve, and with how little it would do: then its reply has to be short. */
export type PlannedReservation = Reservation & { leastTokens: number }

export type TokenBudgets = ReturnType<typeof createTokenBudgets>

const DAY_MS = 86_400_000

/**
 * Daily token budgets of API keys. What a turn's first call may cost is reserved in the batch that accepts it, what each
 * further call may cost before it is made, and all of it is settled in the batch that ends the turn: so turns that run at
 * the same time cannot use up together what is there once.
 */
export function createTokenBudgets(deps: {
  database: Database
  clock: Clock
  contexts: Pick<TurnContexts, 'planned'>
}) {
  const { database, clock, contexts } = deps

  /** The 429 for what is more than is left of a day. */
  function isUsedUp(day: string, limit: number, remaining: number, needed: number): AppError {
    const resetMs = Math.max(1, Date.parse(day) + DAY_MS - clock())
    const message =
      `the daily token budget of this API key is used up: ${remaining} of ${limit} tokens are left, ` +
      `and this turn may need ${needed}`
    return new AppError('rate_limited', message, {
      refusedBy: 'token_budget',
      retryAfterMs: resetMs,
      quota: { limit, remaining, resetMs },
    })
  }

  async function findLeft(organizationId: string, { apiKeyId, day }: Reservation, aiSystem: string) {
    const [row] = await selectBudget(database, { organizationId, apiKeyId, day })
    const limit = row?.daily_tokens ?? 0
    const left = Math.max(0, limit - (row ? row.used + row.reserved : 0))
    const refusal = (needed: number) => {
      const error = isUsedUp(day, limit, left, needed)
      return new ModelError('unaffordable', error.message, { aiSystem, retryable: false, cause: error })
    }
    return { left, refusal }
  }

  return {
    /**
     * What a turn has to reserve: all that its first call will be sent, with the replies of the turns ahead of it, and
     * the longest reply. Null, at no cost, for a key without a budget.
     */
    async plan(
      payer: Payer,
      turn: PlannedTurn,
      earlier: Earlier,
      ahead: () => Promise<number>,
    ): Promise<PlannedReservation | null> {
      if (payer.dailyTokens === null) return null
      const { conversation } = turn
      const context = await contexts.planned(turn, earlier)
      const [model] = chainOf(conversation)
      const prompt = mostPromptTokens(context, besideOf(conversation), model)
      // The replies that come before this turn's place will be in its input, as far as the window goes.
      const longest = replyTokens(conversation)
      const input = Math.max(prompt, Math.min(prompt + (await ahead()) * longest, windowOf(conversation)))
      const leastTokens = prompt + Math.min(longest, LEAST_REPLY)
      const reservedTokens = Math.max(Math.min(input + longest, payer.dailyTokens), leastTokens)
      return { apiKeyId: payer.keyId, day: dayOf(clock()), reservedTokens, leastTokens }
    },

    /** The guarded statement that reserves it, if there is something to reserve. */
    reserve(payer: Payer, reservation: Reservation | null): Statement[] {
      if (reservation === null || payer.dailyTokens === null) return []
      const { organizationId, dailyTokens } = payer
      const { apiKeyId, day, reservedTokens } = reservation
      return [reserveTokens(database, { organizationId, apiKeyId, day, tokens: reservedTokens, dailyTokens })]
    },

    /**
     * What a turn may reserve that cannot have what it had planned: what is left, with a shorter reply. Throws 429 where
     * that is not enough today, and 422 where it would not be on any day.
     */
    async planWithLess(payer: Payer, planned: PlannedReservation): Promise<PlannedReservation> {
      const { organizationId } = payer
      const { apiKeyId, day, leastTokens } = planned
      const limit = payer.dailyTokens ?? 0
      if (leastTokens > limit) throw neverFits(leastTokens, limit)
      const [row] = await selectBudget(database, { organizationId, apiKeyId, day })
      const remaining = Math.max(0, limit - (row ? row.used + row.reserved : 0))
      if (remaining < leastTokens) throw isUsedUp(day, limit, remaining, leastTokens)
      return { ...planned, reservedTokens: Math.min(planned.reservedTokens, remaining) }
    },

    /** What a run that was accepted may spend; null for a key without a budget. */
    ofRun(run: RunKey & { fence: number; budget: Reservation | null }): RunBudget | null {
      const { budget, organizationId } = run
      return budget && createRunBudget(database, run, budget, (aiSystem) => findLeft(organizationId, budget, aiSystem))
    },

    /** What a call may spend that is made beside a run, and is paid by the same key. */
    beside(run: { organizationId: string; budget: Reservation | null }): SideBudget | null {
      const { budget, organizationId } = run
      const find = (aiSystem: string, reservation: Reservation) => findLeft(organizationId, reservation, aiSystem)
      return budget && createSideBudget(database, organizationId, budget, (aiSystem) => find(aiSystem, budget))
    },
  }
}

/** The statement that gives back what a run had reserved and counts what it used, if it had reserved something. */
export function settlement(
  database: Database,
  { organizationId, conversationId, runId }: RunKey,
  reservation: Reservation | null,
  usage: Usage,
): Statement[] {
  if (reservation === null) return []
  const { apiKeyId, day } = reservation
  const used = usage.promptTokens + usage.completionTokens
  return [settleTokens(database, { organizationId, conversationId, runId, apiKeyId, day, used })]
}

/** The 422 for a turn that is more than a whole day's budget. */
function neverFits(needed: number, limit: number): AppError {
  const message =
    `this turn may need ${needed} tokens, and the daily token budget of this API key is ${limit}: send less ` +
    '(contextWindow in the configuration limits how much of the talk is sent, maxTokens the reply), or use a key with ' +
    'a larger budget'
  return new AppError('unprocessable_entity', message, { refusedBy: 'token_budget' })
}

/** The day in UTC, `2026-01-31`. */
export function dayOf(at: number): string {
  return new Date(at).toISOString().slice(0, 10)
}

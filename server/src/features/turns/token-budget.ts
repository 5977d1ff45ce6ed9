import { AppError } from '../../errors.ts'
import type { Clock } from '../../lib/clock.ts'
import type { Database, Statement } from '../../storage/database.ts'
import type { ConversationForTurn, Message } from '../conversations/conversation.ts'
import { reserveTokens, selectBudget, settleTokens } from './budget-queries.ts'
import { contextTokens, type ReadNewest } from './context.ts'
import type { Reservation, Usage } from './run.ts'
import { findSummary } from './summary-queries.ts'
import { buildContext, isSummarized, replyTokens, windowOf } from './turn-context.ts'

/** Who pays for a turn; `dailyTokens` is null for a key without a budget. */
export type Payer = { organizationId: string; keyId: string; dailyTokens: number | null }

/** A turn that is about to be accepted, as far as its context goes. */
export type PlannedTurn = { conversation: ConversationForTurn; userMessage: Message }
/** What is stored of a conversation, and from where back it belongs to the turn; a message with this very id does not. */
export type Earlier = { read: ReadNewest; before: string }

export type TokenBudgets = ReturnType<typeof createTokenBudgets>

const DAY_MS = 86_400_000

/**
 * Daily token budgets of API keys. What a turn may cost is reserved in the batch that accepts it and settled in the batch
 * that ends it, so turns that run at the same time cannot use up together what is there once.
 */
export function createTokenBudgets(deps: { database: Database; clock: Clock }) {
  const { database, clock } = deps

  return {
    /** What a turn has to reserve: its estimated input, with the replies of the turns ahead of it, and the longest reply. Null, at no cost, for a key without a budget. */
    async plan(
      payer: Payer,
      turn: PlannedTurn,
      earlier: Earlier,
      ahead: () => Promise<number>,
    ): Promise<Reservation | null> {
      if (payer.dailyTokens === null) return null
      const read = withNewest(turn.userMessage, earlier)
      const { conversation, userMessage } = turn
      const key = { organizationId: payer.organizationId, conversationId: conversation.id }
      const summary = isSummarized(conversation) ? await findSummary(database, key) : null
      const { context } = await buildContext(conversation, read, userMessage.id, summary)
      // The replies that come before this turn's place will be in its input, as far as the window goes.
      const longest = replyTokens(conversation)
      const input = Math.min(contextTokens(context) + (await ahead()) * longest, windowOf(conversation))
      const reservedTokens = Math.max(input, contextTokens(context)) + longest
      return { apiKeyId: payer.keyId, day: dayOf(clock()), reservedTokens }
    },

    /** The guarded statement that reserves it, if there is something to reserve. */
    reserve(payer: Payer, reservation: Reservation | null): Statement[] {
      if (reservation === null || payer.dailyTokens === null) return []
      const { organizationId, dailyTokens } = payer
      const { apiKeyId, day, reservedTokens } = reservation
      return [reserveTokens(database, { organizationId, apiKeyId, day, tokens: reservedTokens, dailyTokens })]
    },

    /** The 429 for a turn whose reservation was more than what is left. */
    async refusal(payer: Payer, reservation: Reservation): Promise<AppError> {
      const { organizationId } = payer
      const { apiKeyId, day, reservedTokens } = reservation
      const [row] = await selectBudget(database, { organizationId, apiKeyId, day })
      const limit = payer.dailyTokens ?? 0
      const remaining = Math.max(0, limit - (row ? row.used + row.reserved : 0))
      const now = clock()
      const resetMs = Math.max(1, Date.parse(day) + DAY_MS - now)
      const message =
        `the daily token budget of this API key is used up: ${remaining} of ${limit} tokens are left, ` +
        `and this turn may need ${reservedTokens}`
      return new AppError('rate_limited', message, {
        ...{ refusedBy: 'token_budget', retryAfterMs: resetMs, quota: { limit, remaining, resetMs } },
      })
    },
  }
}

/** The statement that gives back what a run had reserved and counts what it used, if it had reserved something. */
export function settlement(
  database: Database,
  organizationId: string,
  reservation: Reservation | null,
  usage: Usage,
): Statement[] {
  if (reservation === null) return []
  const { apiKeyId, day, reservedTokens: reserved } = reservation
  const used = usage.promptTokens + usage.completionTokens
  return [settleTokens(database, { organizationId, apiKeyId, day, reserved, used })]
}

/** The day in UTC, `2026-01-31`. */
function dayOf(at: number): string {
  return new Date(at).toISOString().slice(0, 10)
}

/** Reads as if `newest` stood behind what is stored already. */
function withNewest(newest: Message, { read, before }: Earlier): ReadNewest {
  return async (from, limit) => {
    if (from !== newest.id) return read(from, limit)
    const stored = await read(before, limit)
    return [newest, ...stored.filter(({ id }) => id !== before)]
  }
}

/** Messages that are not stored yet, to be read as if they were. */
export function readFrom(messages: readonly Message[]): ReadNewest {
  const newestFirst = messages.filter(({ role }) => role !== 'system').reverse()
  return async (before, limit) => newestFirst.filter(({ id }) => id <= before).slice(0, limit)
}

import type { UpcomingAttempt } from '../../../models/model-call.ts'
import type { ModelError } from '../../../models/model-error.ts'
import { type Database, type Statement, WriteConflict } from '../../../storage/database.ts'
import { type Beside, mostPromptTokens } from '../context/prompt-tokens.ts'
import { confirmTurn } from '../run/hold-queries.ts'
import type { Reservation, RunKey, Usage } from '../run/run.ts'
import {
  addToReservation,
  BUDGET_SUFFICES,
  countTokens,
  payTokens,
  recordUsage,
  reserveAnyway,
  reserveMore,
} from './budget-queries.ts'

/** Tokens: a reply that can only have fewer is not asked for. */
export const LEAST_REPLY = 256

/** What a call that is about to be made may cost, in tokens. */
export type PlannedCall = {
  aiSystem: string
  /** What was spent before it, by the same run. */
  spent: number
  prompt: number
  /** The longest reply that is wanted. */
  reply: number
}

/** What one run, or one call beside it, may still spend of a key's day. */
export type CallBudget = {
  /** Sees to it that a call is paid for. How many tokens its reply may have, or why it may not be made. */
  admit(call: PlannedCall): Promise<number | ModelError>
}

/** A run's: what is reserved is in its row, so that whoever has to end it gives back just that. */
export type RunBudget = CallBudget & {
  /** Stores what the run has cost so far. What is more than it had reserved is taken from the day at once. */
  record(spent: Usage): Promise<void>
}

/** What an attempt may cost that is about to be made, and what was spent before it: by others, and by those that failed. */
export function plannedCall(
  sent: { system: string | null; beside: Beside; spent: number; reply: number },
  { messages, made, ...model }: UpcomingAttempt,
): PlannedCall {
  const prompt = mostPromptTokens({ system: sent.system, messages }, sent.beside, model)
  const failed = made.filter(({ mayHaveCost }) => mayHaveCost).length
  return { aiSystem: model.aiSystem, spent: sent.spent + failed * prompt, prompt, reply: sent.reply }
}

type Left = { left: number; refusal(needed: number): ModelError }

/** How often to try again to take what was left a moment ago. */
const MOST_TRIES = 8

/** What a run has reserved, and how it gets more. `findLeft` says what is left of the day. */
export function createRunBudget(
  database: Database,
  run: RunKey & { fence: number },
  reservation: Reservation,
  findLeft: (aiSystem: string) => Promise<Left>,
): RunBudget {
  const { fence, organizationId, conversationId, runId } = run
  const key = { organizationId, conversationId, runId }
  const { apiKeyId, day } = reservation
  let reserved = reservation.reservedTokens

  /** The day's row last, as in every batch: others of the key wait for it. */
  async function add(tokens: number, take: Statement): Promise<void> {
    const mine = confirmTurn(database, { ...key, fence })
    await database.write([mine, addToReservation(database, { ...key, tokens }), take])
    reserved += tokens
  }

  const extend = (tokens: number) =>
    taken(() => add(tokens, reserveMore(database, { organizationId, apiKeyId, day, tokens })))

  return {
    async admit({ aiSystem, spent, prompt, reply }) {
      const full = spent + prompt + reply
      if (reserved >= full || (await extend(full - reserved))) return reply
      const least = spent + prompt + Math.min(reply, LEAST_REPLY)
      for (let tries = 0; reserved < least; tries++) {
        const { left, refusal } = await findLeft(aiSystem)
        if (reserved + left < least || tries === MOST_TRIES) return refusal(least - reserved)
        await extend(Math.min(left, full - reserved))
      }
      return Math.min(reply, reserved - spent - prompt)
    },

    async record({ promptTokens, completionTokens }) {
      const over = promptTokens + completionTokens - reserved
      await database.write([
        confirmTurn(database, { ...key, fence }),
        recordUsage(database, { ...key, promptTokens, completionTokens }),
      ])
      if (over > 0) await add(over, reserveAnyway(database, { organizationId, apiKeyId, day, tokens: over }))
    },
  }
}

/** That of a call beside a run. It has no row until it is over, so it is paid before: a crash leaves it paid. */
export type SideBudget = CallBudget & {
  /** The statements that count what it has cost in the place of what was paid. */
  settle(spent: Usage): Statement[]
}

export function createSideBudget(
  database: Database,
  organizationId: string,
  { apiKeyId, day }: Reservation,
  findLeft: (aiSystem: string) => Promise<Left>,
): SideBudget {
  const key = { organizationId, apiKeyId, day }
  let paid = 0

  return {
    async admit({ aiSystem, spent, prompt, reply }) {
      const missing = spent + prompt + reply - paid
      if (missing <= 0) return reply
      if (await taken(() => database.write([payTokens(database, { ...key, tokens: missing })]))) {
        paid += missing
        return reply
      }
      return (await findLeft(aiSystem)).refusal(missing)
    },

    settle: ({ promptTokens, completionTokens }) => [
      countTokens(database, { ...key, tokens: promptTokens + completionTokens - paid }),
    ],
  }
}

/** False when the budget does not suffice. */
async function taken(take: () => Promise<unknown>): Promise<boolean> {
  try {
    await take()
    return true
  } catch (error) {
    if (error instanceof WriteConflict && error.constraint === BUDGET_SUFFICES) return false
    throw error
  }
}

import { AppError } from '../../../errors.ts'
import type { ConversationKey } from '../../../lib/conversation-key.ts'
import { type Database, WriteConflict } from '../../../storage/database.ts'
import type { ConversationForTurn, Message } from '../../conversations/conversation.ts'
import { existing } from '../../conversations/conversation-service.ts'
import { CONVERSATION_IS_OPEN, type ConversationTurns } from '../../conversations/for-turns/conversation-turns.ts'
import type { StartedConversation } from '../../conversations/start-conversation.ts'
import type { TurnContexts } from '../context/turn-contexts.ts'
import { BUDGET_SUFFICES } from '../limits/budget-queries.ts'
import type { TokenBudgets } from '../limits/token-budget.ts'
import type { TurnLimits } from '../limits/turn-limits.ts'
import { NOBODY_WAITS, selectRunningTurn, TURN_IS_RUNNING } from '../run/hold-queries.ts'
import { LINE_HAS_ROOM, selectLine } from '../run/line-queries.ts'
import type { AcceptedTurn, TurnOrigin, TurnRequest } from '../turn.ts'
import { beginBatch, MOST_WAITING } from './begin-batch.ts'
import type { PrepareContext } from './early-context.ts'
import { findOpenCalls, type ToolAnswer } from './tool-answers.ts'
import type { Draft, Place } from './turn-draft.ts'
import type { Plan, TurnPlans } from './turn-plans.ts'

/** What is asked for on a conversation that exists. */
export type Wanted =
  | { kind: 'send'; request: TurnRequest; place: Place }
  | { kind: 'regenerate'; request: TurnOrigin }
  | { kind: 'tools'; request: TurnOrigin; answers: readonly ToolAnswer[] }
  | { kind: 'edit'; request: TurnRequest; messageId: string }

export type TurnAcceptance = ReturnType<typeof createTurnAcceptance>

/** How often to look again when the conversation changed between reading and writing. */
const MAX_TRIES = 50

/**
 * Takes turns in: in one batch the user's message is stored, the run begins, and the conversation is held by a row whose
 * primary key allows one turn at a time, or its place in the line is. Only after that is a model called.
 */
export function createTurnAcceptance(deps: {
  database: Database
  conversations: ConversationTurns
  nodeId: string
  /** Milliseconds after which a turn whose node does not renew it may be ended by another. */
  leaseMs: number
  limits: TurnLimits
  budgets: TokenBudgets
  contexts: Pick<TurnContexts, 'before' | 'recall'>
  plans: TurnPlans
  prepareContext: PrepareContext
}) {
  const { database, conversations, limits, budgets, contexts, plans } = deps

  /**
   * Stores a turn together with what it may cost. Throws 429 when that is more than its key has left for the day, 422 when
   * it is more than its key has for any.
   */
  async function store({ turn, change, earlier }: Plan, origin: TurnOrigin): Promise<Draft> {
    let budget = await budgets.plan(origin, turn, earlier, () => countAhead(turn))
    let earlyContext: AcceptedTurn['earlyContext']
    for (let tries = 0; ; tries++) {
      const planned = { ...turn, budget }
      try {
        const written = database.write(beginBatch(deps, planned, origin, change))
        earlyContext ??= deps.prepareContext(planned)
        await written
        return { ...planned, earlyContext }
      } catch (error) {
        const isTooMuch = error instanceof WriteConflict && error.constraint === BUDGET_SUFFICES
        if (!budget || !isTooMuch || tries === MAX_TRIES) throw error
        budget = await budgets.planWithLess(origin, budget)
      }
    }
  }

  /** How many turns will have replied before this one. */
  async function countAhead({ isInLine, organizationId, conversationId }: Draft): Promise<number> {
    return isInLine ? (await selectLine(database, { organizationId, conversationId })).length + 1 : 0
  }

  async function findOpen(key: ConversationKey): Promise<ConversationForTurn> {
    const conversation = existing(await conversations.find(key))
    if (conversation.isActive) return conversation
    throw new AppError('forbidden', 'the conversation is inactive', { conversationId: key.conversationId })
  }

  /** What stands in the way of a turn at the moment, if anything does. */
  async function findObstacle({ organizationId, conversationId }: ConversationKey): Promise<AppError | undefined> {
    const key = { organizationId, conversationId }
    const [running, line] = await Promise.all([selectRunningTurn(database, key), selectLine(database, key)])
    const before = running[0] ?? line[0]
    return (
      before &&
      new AppError('conflict', 'a turn is running on this conversation', { conversationId, runId: before.run_id })
    )
  }

  /** Reads what a turn of that kind depends on, and says what is to be written. */
  async function planOf(key: ConversationKey, wanted: Wanted, conversation: ConversationForTurn): Promise<Plan> {
    switch (wanted.kind) {
      case 'send':
        return plans.send(conversation, wanted.request, wanted.place)
      case 'regenerate':
        return plans.regenerate(conversation, wanted.request, await lastUserMessage(key, conversation))
      case 'edit':
        return plans.edit(conversation, wanted.request, await userMessage(key, wanted.messageId))
      case 'tools': {
        const open = await findOpenCalls(conversation, (before, limit) => conversations.newest(key, before, limit))
        return plans.answerTools(conversation, wanted.request, open, wanted.answers)
      }
    }
  }

  /** Reads, plans and writes, again if the conversation has changed in between. */
  async function planAndStore(key: ConversationKey, wanted: Wanted): Promise<Draft> {
    const isInLine = placeOf(wanted) === 'in line'
    // The first try takes what is remembered for true: the batch finds out if it is not.
    let known = wanted.kind === 'send' && !isInLine ? contexts.recall(key) : undefined
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      const plan = await planOf(key, wanted, known ?? (await findOpen(key)))
      known = undefined
      try {
        return await store(plan, wanted.request)
      } catch (error) {
        if (!(error instanceof WriteConflict)) throw error
        if (error.constraint === LINE_HAS_ROOM) throw lineIsFull(key.conversationId)
        if (![TURN_IS_RUNNING, NOBODY_WAITS, CONVERSATION_IS_OPEN].includes(error.constraint)) throw error
        // If the other turn has just ended, or only the newest message has changed, the next look finds it open.
        const obstacle = isInLine ? undefined : await findObstacle(key)
        if (obstacle) throw obstacle
      }
    }
    throw new AppError('conflict', 'the conversation is changing too fast', { conversationId: key.conversationId })
  }

  async function lastUserMessage(key: ConversationKey, conversation: ConversationForTurn): Promise<Message> {
    const last = conversation.lastMessageId ? await conversations.lastUserMessage(key) : undefined
    if (!last) throw new AppError('unprocessable_entity', 'there is no message of a user to answer')
    return last
  }

  /** Any message of the user, as long as it is not in the archive, whose files are never written again. */
  async function userMessage(key: ConversationKey, id: string): Promise<Message> {
    const message = await conversations.findInTalk(key, id)
    if (message?.role === 'user') return message
    if (message) throw new AppError('unprocessable_entity', 'only messages of the user can be changed')
    if (await conversations.findMessage(key, id)) {
      throw new AppError('unprocessable_entity', 'the message is in the archive and cannot be changed any more')
    }
    throw new AppError('not_found', 'the conversation has no such message')
  }

  return {
    /**
     * Accepts a turn on a conversation that exists. Throws 404, 410 and 403 for one that cannot take it, 409 naming the run
     * that is under way, 429 when the line is full, and 429 and 503 when there are as many turns, or tokens used, as there
     * may be; 422 for another try or another text where there is nothing like that, and for calls without a result, 404 for
     * a message that there is not, 400 for results of other calls.
     */
    async accept(key: ConversationKey, wanted: Wanted): Promise<AcceptedTurn> {
      const place = await enterOr(key, wanted)
      try {
        return { ...(await planAndStore(key, wanted)), place }
      } catch (error) {
        place.leave()
        throw error
      }
    },

    /** Stores a new conversation together with the first message to it. */
    async acceptFirst(started: StartedConversation, request: TurnRequest): Promise<AcceptedTurn> {
      const place = limits.enter(request)
      try {
        return { ...(await store(plans.first(started, request), request)), place }
      } catch (error) {
        place.leave()
        throw error
      }
    },
  }

  /** Takes a place among the turns under way. Whatever else is in the way is said before that there is none left. */
  async function enterOr(key: ConversationKey, wanted: Wanted) {
    try {
      return limits.enter(wanted.request)
    } catch (full) {
      await findOpen(key)
      throw (placeOf(wanted) === 'held' ? await findObstacle(key) : undefined) ?? full
    }
  }
}

const placeOf = (wanted: Wanted): Place => (wanted.kind === 'send' ? wanted.place : 'held')

function lineIsFull(conversationId: string): AppError {
  return new AppError('rate_limited', `${MOST_WAITING} turns are waiting for this conversation already`, {
    conversationId,
    refusedBy: 'waiting_turns',
    retryAfterMs: 1_000,
    quota: { limit: MOST_WAITING, remaining: 0, resetMs: 1_000 },
  })
}

import { AppError } from '../../../errors.ts'
import type { Clock } from '../../../lib/clock.ts'
import type { IdSource } from '../../../lib/ids.ts'
import { type Database, type Statement, WriteConflict } from '../../../storage/database.ts'
import { type ConversationForTurn, forTurn, type Message } from '../../conversations/conversation.ts'
import { existing } from '../../conversations/conversation-service.ts'
import { CONVERSATION_IS_OPEN, type ConversationTurns } from '../../conversations/for-turns/conversation-turns.ts'
import type { StartedConversation } from '../../conversations/start-conversation.ts'
import { isSummarized } from '../context/build-context.ts'
import type { RecentTalk } from '../context/remembered-conversations.ts'
import { forgetSummaries } from '../context/summary-queries.ts'
import type { ReadNewest } from '../context/window.ts'
import { BUDGET_SUFFICES } from '../limits/budget-queries.ts'
import { type Earlier, readFrom, type TokenBudgets } from '../limits/token-budget.ts'
import type { TurnLimits, Place as TurnPlace } from '../limits/turn-limits.ts'
import { NOBODY_WAITS, selectRunningTurn, TURN_IS_RUNNING } from '../run/hold-queries.ts'
import { LINE_HAS_ROOM, selectLine } from '../run/line-queries.ts'
import type { ConversationKey } from '../run/run.ts'
import type { AcceptedTurn, TurnOrigin, TurnRequest } from '../turn.ts'
import { beginningOf, MOST_WAITING } from './begin-batch.ts'
import type { PrepareTurn } from './early-context.ts'
import { findOpenCalls, type ToolAnswer, toAnswerMessages, withAnswers } from './tool-answers.ts'
import { type Draft, draftTurn, type Place, type Said } from './turn-draft.ts'

/** What storing a turn does to its conversation, and what its model will have seen before the user's message. */
type Plan = { turn: Draft; change: Statement[]; earlier: Earlier }
type Prepare = (conversation: ConversationForTurn) => Promise<Plan>

export type TurnAcceptance = ReturnType<typeof createTurnAcceptance>

/** How often to look again when the conversation changed between reading and writing. */
const MAX_TRIES = 50

/**
 * Takes turns in: in one batch the user's message is stored, the run begins, and the conversation is held by a row whose
 * primary key allows one turn at a time, or its place in the line is. Only after that is a model called.
 */
export function createTurnAcceptance(deps: {
  database: Database
  ids: IdSource
  clock: Clock
  conversations: ConversationTurns
  nodeId: string
  /** Milliseconds after which a turn whose node does not renew it may be ended by another. */
  leaseMs: number
  limits: TurnLimits
  budgets: TokenBudgets
  recentTalk: Pick<RecentTalk, 'find'>
  prepareTurn: PrepareTurn
}) {
  const { database, ids, clock, conversations, limits, budgets, recentTalk } = deps

  const makeTurn = (...turn: Parameters<typeof draftTurn> extends [unknown, ...infer Rest] ? Rest : never) =>
    draftTurn({ ids, clock }, ...turn)

  /**
   * Stores a turn together with what it may cost. Throws 429 when that is more than its key has left for the day, 422 when
   * it is more than its key has for any.
   */
  async function store({ turn, change, earlier }: Plan, origin: TurnOrigin): Promise<Draft> {
    let budget = await budgets.plan(origin, turn, earlier, () => countAhead(turn))
    let ahead: AcceptedTurn['ahead']
    for (let tries = 0; ; tries++) {
      const planned = { ...turn, budget }
      try {
        const written = database.write(beginningOf(deps, planned, origin, change))
        ahead ??= deps.prepareTurn(planned)
        await written
        return { ...planned, ahead }
      } catch (error) {
        const isTooMuch = error instanceof WriteConflict && error.constraint === BUDGET_SUFFICES
        if (!budget || !isTooMuch || tries === MAX_TRIES) throw error
        budget = await budgets.planWithLess(origin, budget)
      }
    }
  }

  /** How many turns will have replied before this one. */
  async function countAhead({ isWaiting, organizationId, conversationId }: Draft): Promise<number> {
    return isWaiting ? (await selectLine(database, { organizationId, conversationId })).length + 1 : 0
  }

  async function findOpen(key: ConversationKey): Promise<ConversationForTurn> {
    const conversation = existing(await conversations.find(key))
    if (conversation.isActive) return conversation
    throw new AppError('forbidden', 'the conversation is inactive', { conversationId: key.conversationId })
  }

  /** Takes a place among the turns under way. Whatever else is in the way is said before that there is none left. */
  async function enter(key: ConversationKey, origin: TurnOrigin, place: Place): Promise<TurnPlace> {
    try {
      return limits.enter(origin)
    } catch (full) {
      await findOpen(key)
      throw (place === 'held' ? await findObstacle(key) : undefined) ?? full
    }
  }

  async function inPlace(place: TurnPlace, accepted: Promise<Draft>): Promise<AcceptedTurn> {
    try {
      return { ...(await accepted), place }
    } catch (error) {
      place.leave()
      throw error
    }
  }

  /** What stands in the way of a turn at the moment, if anything does. */
  async function findObstacle({ organizationId, conversationId }: ConversationKey): Promise<AppError | undefined> {
    const key = { organizationId, conversationId }
    const [running, line] = await Promise.all([selectRunningTurn(database, key), selectLine(database, key)])
    const ahead = running[0] ?? line[0]
    return (
      ahead &&
      new AppError('conflict', 'a turn is running on this conversation', { conversationId, runId: ahead.run_id })
    )
  }

  /**
   * Reads the conversation, lets `prepare` say what is to be written, and writes it; again if the conversation has
   * changed in between. Throws 404, 410, 403, 409 naming the run that is under way, 429 when the line is full, and 429
   * and 503 when there are as many turns, or tokens used, as there may be.
   */
  async function accept(
    key: ConversationKey,
    origin: TurnOrigin,
    place: Place,
    prepare: Prepare,
    known?: ConversationForTurn,
  ) {
    return inPlace(await enter(key, origin, place), tryToAccept(key, origin, place, prepare, known))
  }

  /** `known` is what is remembered of the conversation: the first try takes it for true. */
  async function tryToAccept(
    key: ConversationKey,
    origin: TurnOrigin,
    place: Place,
    prepare: Prepare,
    known?: ConversationForTurn,
  ) {
    const { conversationId } = key
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      const plan = await prepare((tries === 0 ? known : undefined) ?? (await findOpen(key)))
      try {
        return await store(plan, origin)
      } catch (error) {
        if (!(error instanceof WriteConflict)) throw error
        if (error.constraint === LINE_HAS_ROOM) throw lineIsFull(conversationId)
        if (![TURN_IS_RUNNING, NOBODY_WAITS, CONVERSATION_IS_OPEN].includes(error.constraint)) throw error
        // If the other turn has just ended, or only the newest message has changed, the next look finds it open.
        const obstacle = place === 'held' ? await findObstacle(key) : undefined
        if (obstacle) throw obstacle
      }
    }
    throw new AppError('conflict', 'the conversation is changing too fast', { conversationId })
  }

  function acceptMessage(conversationId: string, request: TurnRequest, place: Place): Promise<AcceptedTurn> {
    const key = { organizationId: request.organizationId, conversationId }
    const prepare: Prepare = async (conversation) => {
      const turn = makeTurn(conversation, request, 'send', saidIn(request), place)
      const change = takeMessage(key, turn, request)
      return { turn, change, earlier: storedBefore(key, turn.userMessage) }
    }
    return accept(key, request, place, prepare, place === 'held' ? recentTalk.find(key) : undefined)
  }

  return {
    /**
     * Accepts a message to a conversation that exists. Throws 404, 410 and 403 for one that cannot take it, and 409
     * naming the run that is under way.
     */
    accept: (conversationId: string, request: TurnRequest) => acceptMessage(conversationId, request, 'held'),

    /** Accepts a message behind those that are waiting. Throws 404, 410 and 403, and 429 when too many wait already. */
    enqueue: (conversationId: string, request: TurnRequest) => acceptMessage(conversationId, request, 'in line'),

    /** Stores a new conversation together with the first message to it. */
    async acceptFirst(started: StartedConversation, request: TurnRequest): Promise<AcceptedTurn> {
      const system = started.messages.find(({ role }) => role === 'system')
      const conversation = forTurn(started.conversation, system?.content ?? null)
      const turn = makeTurn(conversation, request, 'send', saidIn(request), 'held')
      const take = takeMessage(turn, turn, request)
      const earlier = { read: readFrom(started.messages), before: turn.userMessage.id }
      const plan = { turn, change: [...started.statements, ...take], earlier }
      return inPlace(limits.enter(request), store(plan, request))
    },

    /**
     * Accepts another try at the reply to the last message of the user; the old reply stays until there is a new one.
     * Throws what `accept` throws, and 422 when no user has said anything yet.
     */
    regenerate(conversationId: string, origin: TurnOrigin): Promise<AcceptedTurn> {
      const key = { organizationId: origin.organizationId, conversationId }
      return accept(key, origin, 'held', async (conversation) => {
        const last = await lastUserMessage(key, conversation)
        const turn = makeTurn(conversation, origin, 'regenerate', last, 'held')
        const change = [conversations.reserveReply(key, conversation.lastMessageId, turn.replyMessageId)]
        return { turn, change, earlier: storedBefore(key, last) }
      })
    },

    /**
     * Accepts the results of the calls that the conversation waits for. Throws what `accept` throws, 422 unless each of
     * them has one, and 400 for results of others.
     */
    answerTools(conversationId: string, origin: TurnOrigin, answers: readonly ToolAnswer[]): Promise<AcceptedTurn> {
      const key = { organizationId: origin.organizationId, conversationId }
      const stored: ReadNewest = (before, limit) => conversations.newest(key, before, limit)
      return accept(key, origin, 'held', async (conversation) => {
        const { lastMessageId } = conversation
        const open = await findOpenCalls(conversation, stored)
        let messages: Message[] = []
        const last = (run: { runId: string; at: number }) => {
          messages = toAnswerMessages(open, answers, { ids, after: lastMessageId ?? '', ...run })
          return messages.at(-1) as Message
        }
        const turn = makeTurn(conversation, origin, 'tools', last, 'held')
        const reserve = conversations.reserveReply(key, lastMessageId, turn.replyMessageId)
        const earlier = { read: withAnswers(messages, stored), before: turn.userMessage.id }
        return { turn, change: [reserve, ...conversations.addMessages(key, messages)], earlier }
      })
    },

    /**
     * Puts another text in the place of the last message of the user; the old one and what followed it are kept outside
     * the conversation. Throws what `accept` throws, 404 for a message that there is not, and 422 for any but the last.
     */
    edit(conversationId: string, messageId: string, request: TurnRequest): Promise<AcceptedTurn> {
      const key = { organizationId: request.organizationId, conversationId }
      return accept(key, request, 'held', async (conversation) => {
        const last = await lastUserMessage(key, conversation, messageId)
        const turn = makeTurn(conversation, request, 'edit', saidIn(request, last), 'held')
        const replaced = { from: last.id, before: turn.userMessage.id, by: turn.runId, at: turn.acceptedAt }
        // First, because it locks the conversation and sees to it that the last message is still the last.
        const reserve = conversations.reserveReply(key, conversation.lastMessageId, conversation.lastMessageId)
        const take = takeMessage(key, turn, request)
        const forget = isSummarized(conversation) ? [forgetSummaries(database, { ...key, from: last.id })] : []
        const change = [reserve, ...conversations.replaceMessages(key, replaced), ...forget, ...take]
        return { turn, change, earlier: storedBefore(key, last) }
      })
    },
  }

  function takeMessage(key: ConversationKey, turn: Draft, { attached }: TurnRequest): Statement[] {
    const { userMessage, replyMessageId, standing } = turn
    const take = conversations.takeMessage(key, userMessage, replyMessageId, standing)
    return [...take, ...(attached?.statements(userMessage.id) ?? [])]
  }

  function storedBefore(key: ConversationKey, { id }: Message): Earlier {
    return { read: (before, limit) => conversations.newest(key, before, limit), before: id }
  }

  async function lastUserMessage(
    key: ConversationKey,
    conversation: ConversationForTurn,
    wanted?: string,
  ): Promise<Message> {
    const last = conversation.lastMessageId ? await conversations.lastUserMessage(key) : undefined
    if (wanted !== undefined && last?.id !== wanted) {
      if (!(await conversations.findMessage(key, wanted))) {
        throw new AppError('not_found', 'the conversation has no such message')
      }
      throw new AppError('unprocessable_entity', 'only the last message of the user can be changed')
    }
    if (!last) throw new AppError('unprocessable_entity', 'there is no message of a user to answer')
    return last
  }
}

function saidIn({ text, attached }: TurnRequest, before?: Message): Said {
  return { text, attachments: attached?.attachments ?? before?.attachments ?? [] }
}

function lineIsFull(conversationId: string): AppError {
  return new AppError('rate_limited', `${MOST_WAITING} turns are waiting for this conversation already`, {
    ...{ conversationId, refusedBy: 'waiting_turns', retryAfterMs: 1_000 },
    quota: { limit: MOST_WAITING, remaining: 0, resetMs: 1_000 },
  })
}

import { AppError } from '../../errors.ts'
import type { Clock } from '../../lib/clock.ts'
import type { IdSource } from '../../lib/ids.ts'
import { type Database, type Statement, WriteConflict } from '../../storage/database.ts'
import type { ConversationForTurn, Message } from '../conversations/conversation.ts'
import { existing } from '../conversations/conversation-service.ts'
import { CONVERSATION_IS_OPEN, type ConversationTurns } from '../conversations/conversation-turns.ts'
import type { StartedConversation } from '../conversations/start-conversation.ts'
import type { RunKey } from './run.ts'
import { insertRun, insertRunningTurn, selectRunningTurn, TURN_IS_RUNNING } from './turn-queries.ts'

/** A turn whose message is stored and whose conversation is held: it is ours to execute. */
export type AcceptedTurn = RunKey & {
  conversation: ConversationForTurn
  userMessage: Message
  replyMessageId: string
  fence: number
  acceptedAt: number
  /** What the conversation asks for; a fallback may be what answers. */
  target: { aiSystem: string; model: string }
}

export type TurnRequest = { organizationId: string; text: string; requestId: string | null }
export type TurnAcceptance = ReturnType<typeof createTurnAcceptance>

/** How often to look again when the conversation changed between reading and writing. */
const MAX_TRIES = 5
const FIRST_FENCE = 1

/**
 * Takes turns in: in one batch the user's message is stored, the run begins, and the conversation is held by a row whose
 * primary key allows one turn at a time. Only after that is a model called.
 */
export function createTurnAcceptance(deps: {
  database: Database
  ids: IdSource
  clock: Clock
  conversations: ConversationTurns
  nodeId: string
  /** Milliseconds after which a turn whose node does not renew it may be ended by another. */
  leaseMs: number
}) {
  const { database, ids, clock, conversations, nodeId, leaseMs } = deps

  function prepare(
    conversation: ConversationForTurn,
    request: TurnRequest,
  ): { turn: AcceptedTurn; statements: Statement[] } {
    const { organizationId, text } = request
    const at = clock()
    const userMessageId = conversation.lastMessageId ? ids.nextAfter(conversation.lastMessageId) : ids.next()
    const key = { organizationId, conversationId: conversation.id }
    const runId = ids.nextAfter(userMessageId)
    const userMessage: Message = {
      ...{ id: userMessageId, role: 'user', content: text, toolCallId: null, name: null },
      ...{ runId, promptTokens: 0, completionTokens: 0, createdAt: at },
    }
    const turn: AcceptedTurn = {
      ...{ ...key, runId, conversation, userMessage },
      ...{ replyMessageId: ids.nextAfter(userMessageId), fence: FIRST_FENCE, acceptedAt: at },
      target: { aiSystem: conversation.aiSystem, model: conversation.model },
    }
    const statements = [
      insertRunningTurn(database, {
        organization_id: organizationId,
        conversation_id: conversation.id,
        run_id: turn.runId,
        fence: turn.fence,
        node_id: nodeId,
        expires_at: at + leaseMs,
      }),
      ...conversations.takeMessage(key, userMessage, turn.replyMessageId),
      insertRun(database, {
        ...key,
        ...turn.target,
        runId: turn.runId,
        userMessageId,
        replyMessageId: turn.replyMessageId,
        status: 'running',
        requestId: request.requestId,
        at,
      }),
    ]
    return { turn, statements }
  }

  async function busy(organizationId: string, conversationId: string): Promise<AppError | undefined> {
    const row = (await selectRunningTurn(database, { organizationId, conversationId }))[0]
    return (
      row && new AppError('conflict', 'a turn is running on this conversation', { conversationId, runId: row.run_id })
    )
  }

  return {
    /**
     * Accepts a message to a conversation that exists. Throws 404, 410 and 403 for one that cannot take it, and 409
     * naming the run that is under way.
     */
    async accept(conversationId: string, request: TurnRequest): Promise<AcceptedTurn> {
      const { organizationId } = request
      for (let tries = 0; tries < MAX_TRIES; tries++) {
        const conversation = existing(await conversations.find({ organizationId, conversationId }))
        if (!conversation.isActive) throw new AppError('forbidden', 'the conversation is inactive', { conversationId })
        const { turn, statements } = prepare(conversation, request)
        try {
          await database.write(statements)
          return turn
        } catch (error) {
          const conflict = error instanceof WriteConflict ? error.constraint : null
          if (conflict !== TURN_IS_RUNNING && conflict !== CONVERSATION_IS_OPEN) throw error
          // If the other turn has just ended, or only the newest message has changed, the next look finds it open.
          const running = conflict === TURN_IS_RUNNING ? await busy(organizationId, conversationId) : undefined
          if (running) throw running
        }
      }
      throw new AppError('conflict', 'the conversation is changing too fast', { conversationId })
    },

    /** Stores a new conversation together with the first message to it. */
    async acceptFirst(started: StartedConversation, request: TurnRequest): Promise<AcceptedTurn> {
      const system = started.messages.find(({ role }) => role === 'system')
      const conversation = { ...started.conversation, systemText: system?.content ?? null }
      const { turn, statements } = prepare(conversation, request)
      await database.write([...started.statements, ...statements])
      return turn
    },
  }
}

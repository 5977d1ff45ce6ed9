import type { Clock } from '../../../lib/clock.ts'
import type { IdSource } from '../../../lib/ids.ts'
import type { ToolCall } from '../../../models/tool-call.ts'
import type { Database, Statement } from '../../../storage/database.ts'
import { type ConversationForTurn, forTurn, type Message } from '../../conversations/conversation.ts'
import type { ConversationTurns } from '../../conversations/for-turns/conversation-turns.ts'
import type { StartedConversation } from '../../conversations/start-conversation.ts'
import { isSummarized } from '../context/build-context.ts'
import { forgetSummaries } from '../context/summary-queries.ts'
import { type Earlier, readFrom, type TurnContexts } from '../context/turn-contexts.ts'
import type { TurnOrigin, TurnRequest } from '../turn.ts'
import { type ToolAnswer, toAnswerMessages, withAnswers } from './tool-answers.ts'
import { type Draft, draftTurn, type Place, type Said } from './turn-draft.ts'

/** A turn, what storing it does to its conversation, and what its model will have seen before the question. */
export type Plan = { turn: Draft; change: Statement[]; earlier: Earlier }
export type TurnPlans = ReturnType<typeof createTurnPlans>

/** Says for each kind of turn what is to be written. Nothing is read here, and nothing happens. */
export function createTurnPlans(deps: {
  database: Database
  ids: IdSource
  clock: Clock
  conversations: ConversationTurns
  contexts: Pick<TurnContexts, 'before'>
}) {
  const { database, ids, conversations, contexts } = deps

  /** The statements that store the user's message, with its files. */
  function takeMessage({ conversation, userMessage, replyMessageId, standing }: Draft, request: TurnRequest) {
    const take = conversations.takeMessage(keyOf(conversation), userMessage, replyMessageId, standing)
    return [...take, ...(request.attached?.statements(userMessage.id) ?? [])]
  }

  return {
    /** A message of the user. */
    send(conversation: ConversationForTurn, request: TurnRequest, place: Place): Plan {
      const turn = draftTurn(deps, conversation, request, 'send', saidIn(request), place)
      return {
        turn,
        change: takeMessage(turn, request),
        earlier: contexts.before(keyOf(conversation), turn.userMessage),
      }
    },

    /** A new conversation with the first message to it. */
    first(started: StartedConversation, request: TurnRequest): Plan {
      const system = started.messages.find(({ role }) => role === 'system')
      const conversation = forTurn(started.conversation, system?.content ?? null)
      const turn = draftTurn(deps, conversation, request, 'send', saidIn(request), 'held')
      return {
        turn,
        change: [...started.statements, ...takeMessage(turn, request)],
        earlier: { read: readFrom(started.messages), before: turn.userMessage.id },
      }
    },

    /** Another try at the reply to `last`; the old reply stays until there is a new one. */
    regenerate(conversation: ConversationForTurn, origin: TurnOrigin, last: Message): Plan {
      const key = keyOf(conversation)
      const turn = draftTurn(deps, conversation, origin, 'regenerate', last, 'held')
      const change = [conversations.reserveReply(key, conversation.lastMessageId, turn.replyMessageId)]
      return { turn, change, earlier: contexts.before(key, last) }
    },

    /** The results of the calls `open`. Throws 422 unless each of them has one, and 400 for results of others. */
    answerTools(
      conversation: ConversationForTurn,
      origin: TurnOrigin,
      open: readonly ToolCall[],
      answers: readonly ToolAnswer[],
    ): Plan {
      const key = keyOf(conversation)
      const { lastMessageId } = conversation
      let messages: Message[] = []
      const last = (run: { runId: string; at: number }) => {
        messages = toAnswerMessages(open, answers, { ids, after: lastMessageId ?? '', ...run })
        return messages.at(-1) as Message
      }
      const turn = draftTurn(deps, conversation, origin, 'tools', last, 'held')
      const reserve = conversations.reserveReply(key, lastMessageId, turn.replyMessageId)
      const earlier = contexts.before(key, turn.userMessage)
      return {
        turn,
        change: [reserve, ...conversations.addMessages(key, messages)],
        earlier: { ...earlier, read: withAnswers(messages, earlier.read) },
      }
    },

    /** Another text in the place of a message of the user; it and what followed it are kept beside the conversation. */
    edit(conversation: ConversationForTurn, request: TurnRequest, edited: Message): Plan {
      const key = keyOf(conversation)
      const turn = draftTurn(deps, conversation, request, 'edit', saidIn(request, edited), 'held')
      const replaced = { from: edited.id, before: turn.userMessage.id, by: turn.runId, at: turn.acceptedAt }
      // First, because it locks the conversation and sees to it that the last message is still the last.
      const reserve = conversations.reserveReply(key, conversation.lastMessageId, conversation.lastMessageId)
      const forget = isSummarized(conversation) ? [forgetSummaries(database, { ...key, from: edited.id })] : []
      const change = [
        reserve,
        ...conversations.replaceMessages(key, replaced),
        ...forget,
        ...takeMessage(turn, request),
      ]
      return { turn, change, earlier: contexts.before(key, edited) }
    },
  }
}

const keyOf = ({ organizationId, id }: ConversationForTurn) => ({ organizationId, conversationId: id })

function saidIn({ text, attached }: TurnRequest, before?: Message): Said {
  return { text, attachments: attached?.attachments ?? before?.attachments ?? [] }
}

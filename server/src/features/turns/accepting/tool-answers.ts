import { AppError, badField, type ErrorDetail } from '../../../errors.ts'
import type { IdSource } from '../../../lib/ids.ts'
import type { ToolCall } from '../../../models/tool-call.ts'
import type { ConversationForTurn, Message } from '../../conversations/conversation.ts'
import type { ReadNewest } from '../context/window.ts'
import { lastIdOf } from '../reply/reply-messages.ts'

/** What the caller says that a call has come to. */
export type ToolAnswer = { toolCallId: string; content: string }

/** More messages than can follow the calls of one step. */
const MOST_RESULTS = 64

/** The calls that a conversation waits for the caller to answer: those of its newest message that have no result. */
export async function findOpenCalls(conversation: ConversationForTurn, newest: ReadNewest): Promise<ToolCall[]> {
  const { lastMessageId } = conversation
  if (lastMessageId === null) return []
  const messages = await newest(lastIdOf(lastMessageId), MOST_RESULTS)
  const at = messages.findIndex(({ role }) => role !== 'tool')
  const answered = new Set(messages.slice(0, Math.max(at, 0)).map(({ toolCallId }) => toolCallId))
  return (messages[at]?.toolCalls ?? []).filter(({ id }) => !answered.has(id))
}

/** The messages of the answers, in the order of the calls. Throws 422 unless each open call is answered, and 400 for others. */
export function toAnswerMessages(
  open: readonly ToolCall[],
  answers: readonly ToolAnswer[],
  made: { ids: Pick<IdSource, 'nextAfter'>; after: string; runId: string; at: number },
): Message[] {
  if (open.length === 0) throw new AppError('unprocessable_entity', 'the conversation has no open tool calls')
  answers.forEach(({ toolCallId }, i) => {
    const field = `results.${i}.toolCallId`
    if (!open.some(({ id }) => id === toolCallId)) throw badField(field, 'is not the id of an open tool call')
    if (answers.findIndex((answer) => answer.toolCallId === toolCallId) < i) throw badField(field, 'comes twice')
  })
  const missing = open.filter(({ id }) => !answers.some(({ toolCallId }) => toolCallId === id))
  if (missing.length > 0) {
    const details = missing.map(({ id }): ErrorDetail => ({ field: 'results', issue: `lacks the tool call ${id}` }))
    throw new AppError('unprocessable_entity', 'every open tool call needs a result', { details })
  }
  let last = made.after
  return open.map(({ id: toolCallId, name }): Message => {
    last = made.ids.nextAfter(last)
    const { content } = answers.find((answer) => answer.toolCallId === toolCallId) as ToolAnswer
    return {
      id: last,
      role: 'tool',
      content,
      toolCallId,
      name,
      runId: made.runId,
      promptTokens: 0,
      completionTokens: 0,
      createdAt: made.at,
    }
  })
}

/** Reads as if these stood behind what is stored. */
export function withAnswers(answers: readonly Message[], stored: ReadNewest): ReadNewest {
  const newestFirst = [...answers].reverse()
  return async (before, limit) => {
    const fresh = newestFirst.filter(({ id }) => id <= before)
    return [...fresh, ...(await stored(before, limit))].slice(0, limit)
  }
}

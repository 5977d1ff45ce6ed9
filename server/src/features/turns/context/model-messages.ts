import { shiftId } from '../../../lib/ids.ts'
import type { ModelMessage } from '../../../models/model.ts'
import type { ToolCall } from '../../../models/tool-call.ts'
import type { Message } from '../../conversations/conversation.ts'
import { createDistinctIds } from './call-ids.ts'

/** What stands for a result that nobody has given. */
export const NOT_ANSWERED = 'Error: the call was not answered.'
/** What stands for a result with nothing in it: providers refuse empty messages. */
const EMPTY = '(nothing)'
const NOTHING: readonly Message[] = []
const NO_CALLS: readonly ToolCall[] = []

/**
 * Messages as a strict provider accepts them: none is empty, user and assistant take turns (unanswered user messages are
 * merged, so are replies in a row), and behind an assistant message with calls comes one result for each of them, in
 * their order. A result whose call is not there is left out, and no two calls bear the same id.
 */
export function toModelMessages(history: readonly Message[]): ModelMessage[] {
  const messages: ModelMessage[] = []
  const distinct = createDistinctIds()
  history.forEach((message, i) => {
    const { role, content } = message
    if (role !== 'user' && role !== 'assistant') return
    const asked = message.toolCalls ?? NO_CALLS
    const toolCalls = asked.length === 0 ? asked : asked.map((call, n) => distinct(call, `${message.id}/${n}`))
    const isEmpty = content.trim() === ''
    if (isEmpty && toolCalls.length === 0) return
    const last = messages.at(-1)
    if (role === 'user') {
      const { attachments } = message
      if (last?.role !== 'user') messages.push({ role, content, ...(attachments && { attachments }) })
      else {
        last.content += `\n\n${content}`
        if (attachments) last.attachments = [...(last.attachments ?? []), ...attachments]
      }
      return
    }
    const said = isEmpty ? '' : content
    const { thoughts } = message
    const calls = { ...(toolCalls.length > 0 && { toolCalls }), ...(thoughts && { thoughts }) }
    if (last?.role === 'assistant') {
      Object.assign(last, { content: [last.content, said].filter((text) => text !== '').join('\n\n'), ...calls })
    } else messages.push({ role, content: said, ...calls })
    if (toolCalls.length === 0) return
    const results = resultsBehind(history, i)
    toolCalls.forEach(({ id, name }, n) => {
      const result = results.get(asked[n]?.id ?? id)?.shift() ?? NOT_ANSWERED
      messages.push({ role: 'tool', toolCallId: id, name, content: result.trim() === '' ? EMPTY : result })
    })
  })
  return messages
}

/** The results that follow a message, by the ids of the calls: as many as there are calls with that id, in order. */
function resultsBehind(history: readonly Message[], i: number): Map<string, string[]> {
  const results = new Map<string, string[]>()
  for (let n = i + 1; history[n]?.role === 'tool'; n++) {
    const { toolCallId, content } = history[n] as Message
    if (toolCallId === null) continue
    const those = results.get(toolCallId)
    if (those) those.push(content)
    else results.set(toolCallId, [content])
  }
  return results
}

/** Messages that close the calls of a history that nobody has answered; each has its place right behind its calls. */
export function closingMessages(history: readonly Message[], at: number): Message[] {
  return history.flatMap((message, i) => {
    if (!message.toolCalls?.length) return NOTHING
    const results = resultsBehind(history, i)
    const behind = [...results.values()].reduce((sum, { length }) => sum + length, 0)
    const open = message.toolCalls.filter(({ id }) => results.get(id)?.shift() === undefined)
    return open.map(
      ({ id, name }, n): Message => ({
        id: shiftId(message.id, behind + n + 1),
        role: 'tool',
        content: NOT_ANSWERED,
        toolCallId: id,
        name,
        runId: message.runId,
        promptTokens: 0,
        completionTokens: 0,
        createdAt: at,
      }),
    )
  })
}

import { shiftId } from '../../../lib/ids.ts'
import type { Message } from '../../conversations/conversation.ts'
import type { Usage } from '../run/run.ts'
import { type ReplyEvent, stepsOf } from './reply-event.ts'

/**
 * Ids that a run has on either side of that of its reply. They need not be reserved: two ids that are made one after the
 * other differ in their higher bits, so nothing else is between them.
 */
const ROOM = 65_536

/** The least id that a message of the run can have whose reply has this one. */
export function firstIdOf(replyMessageId: string): string {
  return shiftId(replyMessageId, -ROOM)
}

/** The greatest. */
export function lastIdOf(replyMessageId: string): string {
  return shiftId(replyMessageId, ROOM)
}

/**
 * The messages that a run's events make: for each step what the model said together with its calls, and then the results
 * in the order of the calls. The last of the assistant has the id that was promised; the others are before it, and the
 * results of its own calls behind it. It has the usage of the whole run.
 */
export function messagesOf(
  events: readonly ReplyEvent[],
  run: { runId: string; replyMessageId: string; usage: Usage; at: number; isCompleted: boolean },
): Message[] {
  const steps = stepsOf(events)
  // A reply may be empty, and is one all the same.
  if (run.isCompleted && steps.length === 0) steps.push({ text: '', calls: [], results: [] })
  const common = { runId: run.runId, promptTokens: 0, completionTokens: 0, createdAt: run.at }
  const messages = steps.flatMap(({ text, calls, results, thoughts }): Message[] => [
    {
      id: '',
      role: 'assistant',
      content: text,
      toolCallId: null,
      name: null,
      ...common,
      ...(calls.length > 0 && { toolCalls: [...calls] }),
      ...(thoughts && { thoughts }),
    },
    ...calls.flatMap(({ id, name }): Message[] =>
      results
        .filter(({ toolCallId }) => toolCallId === id)
        .map(({ content }) => ({ id: '', role: 'tool', content, toolCallId: id, name, ...common })),
    ),
  ])
  const reply = messages.findLastIndex(({ role }) => role === 'assistant')
  return messages.map((message, i) => ({
    ...message,
    ...(i === reply && run.usage),
    id: shiftId(run.replyMessageId, i - reply),
  }))
}

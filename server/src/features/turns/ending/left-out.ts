import type { ModelError } from '../../../models/model-error.ts'
import type { Message } from '../../conversations/conversation.ts'
import type { Progress, RunEndDraft } from './verdict.ts'

/**
 * Whether later turns are to go without the question of a run: true when it was refused for what it says, false when it
 * had been and is answered now, undefined where nothing changes.
 */
export function leavesOut(progress: Progress, end: RunEndDraft, question: Message): boolean | undefined {
  const { outcome } = progress
  if (end.status === 'failed' && outcome?.ok === false && isOfMessages(outcome.error)) return true
  return end.status === 'completed' && question.leftOut !== undefined ? false : undefined
}

/** Whether it is what somebody has said that was refused, and not how it was asked. */
export function isOfMessages({ refusal }: ModelError): boolean {
  return refusal !== undefined && ['content', 'something', 'window', 'file', 'order'].includes(refusal.about)
}

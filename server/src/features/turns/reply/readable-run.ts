import type { RunEnd, RunKey } from '../run/run.ts'
import type { ReplyView } from './reply-log.ts'

/** A run that somebody reads, under way or ended. */
export type ReadableRun = Pick<RunKey, 'conversationId' | 'runId'> & {
  messageId: string
  reply: ReplyView
  /** Of a run that this process executes. */
  ended?: Promise<RunEnd>
}

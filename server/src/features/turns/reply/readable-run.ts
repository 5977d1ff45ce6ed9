import { isJsonObject } from '../../../lib/json.ts'
import type { Conversation, Message } from '../../conversations/conversation.ts'
import type { RunEnd, RunKey } from '../run/run.ts'
import type { ReplyView } from './reply-log.ts'

/**
 * Whether the thoughts of a conversation's model may be shown to those who ask: unless its configuration says no, and where
 * its persona is secret only if it says yes, because thoughts quote the system text.
 */
export function mayShowThoughts({
  configuration,
  isSecret,
}: Pick<Conversation, 'configuration' | 'isSecret'>): boolean {
  const reasoning = configuration?.['reasoning']
  const show = isJsonObject(reasoning) ? reasoning['show'] : undefined
  return isSecret ? show === true : show !== false
}

/** A run that somebody reads, under way or ended. */
export type ReadableRun = Pick<RunKey, 'conversationId' | 'runId'> & {
  messageId: string
  reply: ReplyView
  /** What there is to say about it besides the reply, in sentences; of a run that this process executes. */
  warnings?: readonly string[]
  /** Whether those who ask may see what the model thought. */
  mayShowThoughts?: boolean
  /** Of a run that this process executes. */
  ended?: Promise<RunEnd>
}

/** A run as long as this process executes it. */
export type LiveTurn = RunKey & {
  /** What it answers. */
  userMessage: Message
  /** The id that the reply has, or will have. */
  messageId: string
  reply: ReplyView
  /** Become more until the model is asked. */
  warnings: readonly string[]
  mayShowThoughts: boolean
  /** Resolves when everything is stored. Never rejects. */
  ended: Promise<RunEnd>
  /** Makes it stop; its text so far is kept. */
  cancel(): void
}

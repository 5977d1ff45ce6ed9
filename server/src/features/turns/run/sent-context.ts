import type { ContextPolicy } from '../../personas/context-settings.ts'

/** What a model was sent, as the record of its run keeps it. Tokens are estimates, each message's frame included. */
export type SentContext = {
  policy: ContextPolicy
  /** Tokens that the smallest of the models can see. */
  window: number
  /** The oldest stored message that was sent, and how many there were, the newest one included. */
  firstMessageId: string | null
  messages: number
  /** The system text with everything that was put into it: the summary, the greeting. */
  systemTokens: number
  historyTokens: number
  /** Which version of the summary stood for what is older; null without one. */
  summaryVersion: number | null
}

import type { ErrorCode } from '../../errors.ts'
import type { Attempt } from '../../models/resilience.ts'
import type { RunStatus } from './turn-state.ts'

/** Why a run's text ends where it does; the words are those of the wire. */
export type FinishReason = 'stop' | 'length' | 'tool_calls' | 'content_filter' | 'cancelled' | 'interrupted' | 'error'

export type Usage = { promptTokens: number; completionTokens: number }

export type RunFailure = { code: ErrorCode; message: string; retryAfterMs?: number }

/** How a run ended. */
export type RunEnd = {
  status: RunStatus
  finishReason: FinishReason
  usage: Usage
  error: RunFailure | null
}

export type ConversationKey = { organizationId: string; conversationId: string }
export type RunKey = ConversationKey & { runId: string }

/** What began a run: a new message, another try at the last reply, or a changed last message. */
export type RunKind = 'send' | 'regenerate' | 'edit'
/** What becomes of a run without text whose server died. */
export type OnCrash = 'keep' | 'restart'
/** Why a run that is under way is made to stop. */
export type StopReason = 'cancelled' | 'interrupted'
/** The part of a key's daily tokens that a run has reserved. */
export type Reservation = { apiKeyId: string; day: string; reservedTokens: number }

/** One execution of a turn, as it is stored. Times are milliseconds. */
export type Run = {
  id: string
  conversationId: string
  userMessageId: string
  replyMessageId: string
  status: RunStatus
  aiSystem: string
  model: string
  kind: RunKind
  onCrash: OnCrash
  restarts: number
  /** The idempotency claim of its request. */
  claimId: string | null
  /** The API key that asked for it. */
  apiKeyId: string | null
  budget: Reservation | null
  attempts: Attempt[]
  finishReason: FinishReason | null
  error: RunFailure | null
  usage: Usage
  /** The provider did not say; the tokens are our estimate. */
  isUsageEstimated: boolean
  createdAt: number
  startedAt: number | null
  firstTokenAt: number | null
  endedAt: number | null
}

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

export type RunKey = { organizationId: string; conversationId: string; runId: string }

/** One execution of a turn, as it is stored. Times are milliseconds. */
export type Run = {
  id: string
  conversationId: string
  userMessageId: string
  replyMessageId: string
  status: RunStatus
  aiSystem: string
  model: string
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

import type { ErrorCode, Quota } from '../../../errors.ts'
import type { ConversationKey } from '../../../lib/conversation-key.ts'
import type { JsonObject } from '../../../lib/json.ts'
import type { Attempt } from '../../../models/model-call.ts'
import type { RunStatus } from './run-state.ts'
import type { SentContext } from './sent-context.ts'

/** Why a run's text ends where it does; the words are those of the wire. */
export type FinishReason = 'stop' | 'length' | 'tool_calls' | 'content_filter' | 'cancelled' | 'interrupted' | 'error'

export type Usage = { promptTokens: number; completionTokens: number }

export type RunFailure = { code: ErrorCode; message: string; retryAfterMs?: number; refusedBy?: string; quota?: Quota }

/** How a run ended. */
export type RunEnd = {
  status: RunStatus
  finishReason: FinishReason
  usage: Usage
  /** How many of the tokens were thoughts; absent where no provider said. */
  reasoningTokens?: number
  error: RunFailure | null
  /** Where the model said that it has its reply from; absent where it said nothing. */
  citations?: readonly JsonObject[]
}

/** The citations of all attempts of a run that were answered, as a member of its end. */
export function citationsOf(attempts: readonly Attempt[]): Pick<RunEnd, 'citations'> {
  const citations = attempts.flatMap((attempt) => attempt.citations ?? [])
  return citations.length === 0 ? {} : { citations }
}

export type RunKey = ConversationKey & { runId: string }

/**
 * What began a run: a new message, another try at the last reply, a changed last message, or results of tools that the
 * caller has run. The last two are no turns:
 * the server makes a summary or a title by itself.
 */
export type RunKind = 'send' | 'regenerate' | 'edit' | 'tools' | 'summary' | 'title'
/** What becomes of a run without text whose server died. */
export type OnCrash = 'keep' | 'restart'
/** Why a run that is under way is made to stop. */
export type StopReason = 'cancelled' | 'interrupted'
/** The part of a key's daily tokens that a run has reserved. */
export type Reservation = { apiKeyId: string; day: string; reservedTokens: number }

/** The tokens of thoughts that the providers have counted in these attempts; nothing where none did. */
export function reasoningTokensOf(attempts: readonly Attempt[]): Pick<RunEnd, 'reasoningTokens'> {
  const counts = attempts.flatMap(({ usage }) => usage?.reasoningTokens ?? [])
  return counts.length === 0 ? {} : { reasoningTokens: counts.reduce((sum, count) => sum + count, 0) }
}

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
  /** What the model was sent; null when it was not asked, or nobody knows. */
  context: SentContext | null
  createdAt: number
  startedAt: number | null
  firstTokenAt: number | null
  endedAt: number | null
}

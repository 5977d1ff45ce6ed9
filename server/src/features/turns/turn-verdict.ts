import { AppError, isPresentable } from '../../errors.ts'
import type { ModelResult } from '../../models/model.ts'
import type { Outcome } from '../../models/resilience.ts'
import { type Context, contextTokens } from './context.ts'
import type { FinishReason, RunEnd, RunFailure, StopReason, Usage } from './run.ts'
import { estimateReply } from './turn-ending.ts'
import { nextStatus, type RunEvent, type RunStatus } from './turn-state.ts'

/** Why a run stopped before its model was done: somebody wanted it, or it is not ours any more. */
export type Stop = { reason: StopReason; message?: string } | { lost: unknown }

/** What is known of a run while it is under way. */
export type Progress = {
  context: Context | null
  outcome: Outcome | null
  firstTokenAt: number | null
  aiSystem: string
  model: string
}
export type RunEndDraft = RunEnd & { isUsageEstimated: boolean }

/** How a run ends that was in `status`, has said `texts`, and was stopped or failed, if it was. */
export function endOf(
  status: RunStatus,
  progress: Progress,
  texts: readonly string[],
  stopped: Stop | null,
  failure: unknown,
): RunEndDraft {
  const { outcome } = progress
  const { event, finishReason, error } = verdict(outcome, stopped, failure)
  const { usage, isUsageEstimated } = usageOf(progress, texts, outcome?.ok ? outcome.result : null)
  return { status: nextStatus(status, event), finishReason, error, usage, isUsageEstimated }
}

function verdict(
  outcome: Outcome | null,
  stopped: Stop | null,
  failure: unknown,
): { event: RunEvent; finishReason: FinishReason; error: RunFailure | null } {
  // A reply that was complete before the stop arrived is complete.
  if (outcome?.ok) return { event: 'complete', finishReason: outcome.result.finishReason, error: null }
  if (stopped && 'reason' in stopped) {
    const message = stopped.message
    return stopped.reason === 'cancelled'
      ? { event: 'cancel', finishReason: 'cancelled', error: { code: 'cancelled', message: message ?? CANCELLED } }
      : { event: 'interrupt', finishReason: 'interrupted', error: { ...INTERRUPTED, ...(message && { message }) } }
  }
  if (stopped) return { event: 'interrupt', finishReason: 'interrupted', error: INTERRUPTED }
  if (outcome && failure === null)
    return { event: 'fail', finishReason: 'error', error: toFailure(outcome.error.toAppError()) }
  return { event: 'fail', finishReason: 'error', error: toFailure(presented(failure)) }
}

function presented(failure: unknown): AppError {
  if (failure instanceof AppError) return failure
  if (isPresentable(failure)) return failure.toAppError()
  return new AppError('internal_error', 'the turn failed in the server')
}

const CANCELLED = 'the turn was cancelled'
/** What a run shows that had no text when it was interrupted. */
export const INTERRUPTED: RunFailure = { code: 'unavailable', message: 'the turn was interrupted by the server' }

function toFailure({ code, message, retryAfterMs }: AppError): RunFailure {
  return retryAfterMs === undefined ? { code, message } : { code, message, retryAfterMs }
}

/** What the run cost. Where the provider did not say, or was cut off before it could, what was sent and came is estimated. */
function usageOf(
  progress: Progress,
  texts: readonly string[],
  result: ModelResult | null,
): { usage: Usage; isUsageEstimated: boolean } {
  if (result?.usage) return { usage: result.usage, isUsageEstimated: false }
  // A prompt that was on its way when the run was stopped is paid for; one that was refused is not.
  const wasUnderWay = progress.outcome?.attempts.at(-1)?.outcome === 'aborted'
  const isUntouched = result === null && texts.length === 0 && !wasUnderWay
  if (isUntouched || !progress.context)
    return { usage: { promptTokens: 0, completionTokens: 0 }, isUsageEstimated: false }
  const usage = { promptTokens: contextTokens(progress.context), completionTokens: estimateReply(texts) }
  return { usage, isUsageEstimated: true }
}

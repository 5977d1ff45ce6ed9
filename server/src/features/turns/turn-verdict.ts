import { AppError, isPresentable } from '../../errors.ts'
import type { ModelResult } from '../../models/model.ts'
import type { Attempt, Outcome } from '../../models/resilience.ts'
import { type Context, contextTokens, type Window } from './context.ts'
import { lastText, type ReplyEvent } from './reply-event.ts'
import type { FinishReason, RunEnd, RunFailure, StopReason, Usage } from './run.ts'
import type { SentContext } from './sent-context.ts'
import { estimateReply } from './turn-ending.ts'
import { nextStatus, type RunEvent, type RunStatus } from './turn-state.ts'

/** Why a run stopped before its model was done: somebody wanted it, or it is not ours any more. */
export type Stop = { reason: StopReason; message?: string } | { lost: unknown } | 'left'

/** What is known of a run while it is under way. */
export type Progress = {
  context: Context | null
  /** What the record of the run says of it. */
  sent?: SentContext
  /** What was read of the talk; absent when it has changed since. */
  window?: Window
  outcome: Outcome | null
  firstTokenAt: number | null
  aiSystem: string
  model: string
  /** What the steps before this one have cost, and the attempts it took. */
  earlier?: Earlier
}
export type Earlier = { usage: Usage; isUsageEstimated: boolean; attempts: Attempt[] }
export const NOTHING: Earlier = {
  usage: { promptTokens: 0, completionTokens: 0 },
  isUsageEstimated: false,
  attempts: [],
}
export type RunEndDraft = RunEnd & { isUsageEstimated: boolean }

/** How a run ends that was in `status`, has come to `events`, and was stopped or failed, if it was. */
export function endOf(
  status: RunStatus,
  progress: Progress,
  events: readonly ReplyEvent[],
  stopped: Stop | null,
  failure: unknown,
): RunEndDraft {
  const { outcome } = progress
  const { event, finishReason, error } = verdict(outcome, stopped, failure)
  const { usage, isUsageEstimated } = usageOf(progress, events, outcome?.ok ? outcome.result : null)
  return { status: nextStatus(status, event), finishReason, error, usage, isUsageEstimated }
}

function verdict(
  outcome: Outcome | null,
  stopped: Stop | null,
  failure: unknown,
): { event: RunEvent; finishReason: FinishReason; error: RunFailure | null } {
  // A reply that was complete before the stop arrived is complete.
  if (outcome?.ok) return { event: 'complete', finishReason: outcome.result.finishReason, error: null }
  if (stopped && stopped !== 'left' && 'reason' in stopped) {
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
  events: readonly ReplyEvent[],
  result: ModelResult | null,
): { usage: Usage; isUsageEstimated: boolean } {
  const { usage: before, isUsageEstimated } = progress.earlier ?? NOTHING
  const last = lastText(events)
  // A prompt that was on its way when the run was stopped is paid for; one that was refused is not.
  const wasUnderWay = progress.outcome?.attempts.at(-1)?.outcome === 'aborted'
  const isUntouched = result === null && last === '' && !wasUnderWay
  if (!result?.usage && (isUntouched || !progress.context)) return { usage: before, isUsageEstimated }
  const usage = result?.usage ?? estimatedUsage(progress.context as Context, [last])
  return { usage: addUsage(before, usage), isUsageEstimated: isUsageEstimated || !result?.usage }
}

/** What a call has cost whose provider did not say. */
export function estimatedUsage(context: Context, said: readonly ReplyEvent[]): Usage {
  return { promptTokens: contextTokens(context), completionTokens: estimateReply(said) }
}

export function addUsage(a: Usage, b: Usage): Usage {
  return { promptTokens: a.promptTokens + b.promptTokens, completionTokens: a.completionTokens + b.completionTokens }
}

import { AppError, isPresentable } from '../../../errors.ts'
import type { Attempt, CallOutcome } from '../../../models/model-call.ts'
import { type Beside, promptTokens } from '../context/prompt-tokens.ts'
import type { Context, Window } from '../context/window.ts'
import { lastSaid, type ReplyEvent } from '../reply/reply-event.ts'
import {
  citationsOf,
  type FinishReason,
  type RunEnd,
  type RunFailure,
  reasoningTokensOf,
  type StopReason,
  type Usage,
} from '../run/run.ts'
import { nextStatus, type RunEvent, type RunStatus } from '../run/run-state.ts'
import type { SentContext } from '../run/sent-context.ts'
import { estimateReply } from './end-batch.ts'

/** Why a run stopped before its model was done: somebody wanted it, or it is not ours any more. */
export type Stop = { reason: StopReason; message?: string } | { lost: unknown } | 'left'

/** What is known of a run while it is under way. */
export type Progress = {
  context: Context | null
  /** What stands beside it. */
  beside?: Beside
  /** What the record of the run says of it. */
  sent?: SentContext
  /** What was read of the talk; absent when it has changed since. */
  window?: Window
  outcome: CallOutcome | null
  /** It was answered without anything older, which is most likely what was refused. */
  isAlone?: true
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
export function verdictOf(
  status: RunStatus,
  progress: Progress,
  events: readonly ReplyEvent[],
  stopped: Stop | null,
  failure: unknown,
): RunEndDraft {
  const { outcome } = progress
  const { event, finishReason, error } = judge(outcome, stopped, failure)
  const { usage, isUsageEstimated } = usageOf(progress, events)
  const attempts = [...(progress.earlier?.attempts ?? []), ...(outcome?.attempts ?? [])]
  const told = { ...reasoningTokensOf(attempts), ...citationsOf(attempts) }
  return { status: nextStatus(status, event), finishReason, error, usage, isUsageEstimated, ...told }
}

function judge(
  outcome: CallOutcome | null,
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

function toFailure({ code, message, retryAfterMs, refusedBy, quota }: AppError): RunFailure {
  return {
    code,
    message,
    ...(retryAfterMs !== undefined && { retryAfterMs }),
    ...(refusedBy !== undefined && { refusedBy }),
    ...(quota !== undefined && { quota }),
  }
}

/** What the run cost. Where the provider did not say, or was cut off before it could, what was sent and came is estimated. */
function usageOf(progress: Progress, events: readonly ReplyEvent[]): { usage: Usage; isUsageEstimated: boolean } {
  const { usage: before, isUsageEstimated } = progress.earlier ?? NOTHING
  const cost = costOf(progress, lastSaid(events))
  return { usage: addUsage(before, cost.usage), isUsageEstimated: isUsageEstimated || cost.isUsageEstimated }
}

/**
 * What a step has cost that has come to `said`: what its provider counted. Where that is not known, and for each attempt
 * that failed when its provider had the prompt already, it is an estimate; an attempt that was refused cost nothing.
 */
export function costOf(progress: Progress, said: readonly ReplyEvent[]): { usage: Usage; isUsageEstimated: boolean } {
  const { outcome, context } = progress
  const counted = outcome?.ok ? outcome.result.usage : null
  const failed = (outcome?.attempts ?? []).filter(({ mayHaveCost }) => mayHaveCost).length
  // An attempt that failed after its first text is the last one, and is counted with it.
  const prompts = outcome?.ok ? failed + (counted ? 0 : 1) : Math.max(failed, said.length > 0 ? 1 : 0)
  const usage = counted ?? NOTHING.usage
  if (prompts === 0 || context === null) return { usage, isUsageEstimated: false }
  const estimate = {
    promptTokens: prompts * promptTokens(context, progress.beside ?? {}),
    completionTokens: counted ? 0 : estimateReply(said),
  }
  return { usage: addUsage(usage, estimate), isUsageEstimated: true }
}

export function addUsage(a: Usage, b: Usage): Usage {
  return { promptTokens: a.promptTokens + b.promptTokens, completionTokens: a.completionTokens + b.completionTokens }
}

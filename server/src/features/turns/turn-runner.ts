import { setTimeout as wait } from 'node:timers/promises'
import { AppError } from '../../errors.ts'
import type { Clock } from '../../lib/clock.ts'
import type { IdSource } from '../../lib/ids.ts'
import type { ModelResult } from '../../models/model.ts'
import type { Outcome, Resilience } from '../../models/resilience.ts'
import { type Database, StorageError, WriteConflict } from '../../storage/database.ts'
import type { Message } from '../conversations/conversation.ts'
import type { ConversationTurns } from '../conversations/conversation-turns.ts'
import { type Context, contextTokens } from './context.ts'
import type { ReplyLog, ReplyView, RunLog } from './reply-log.ts'
import type { FinishReason, RunEnd, RunFailure, RunKey, Usage } from './run.ts'
import { createTextCleaner } from './text-cleaner.ts'
import type { AcceptedTurn } from './turn-acceptance.ts'
import { buildContext, chainOf, settingsOf } from './turn-context.ts'
import { endingStatements, estimateReply } from './turn-ending.ts'
import { nextStatus, type RunEvent } from './turn-state.ts'

/** Why a run that is under way is made to stop. */
export type StopReason = 'cancelled' | 'interrupted'

/** A run as long as this process executes it. */
export type LiveTurn = RunKey & {
  /** What it answers. */
  userMessage: Message
  /** The id that the reply has, or will have. */
  messageId: string
  reply: ReplyView
  /** Resolves when everything is stored. Never rejects. */
  ended: Promise<RunEnd>
}

export type Log = {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}
export type TurnRunner = ReturnType<typeof createTurnRunner>

type Stop = { reason: StopReason } | { lost: unknown }
type Running = LiveTurn & { stop(stop: Stop): void }

/** Milliseconds between attempts to store the end of a run while the database cannot be used. */
const END_RETRY_MS = [100, 500, 2_000, 5_000]

/** Executes turns that have been accepted: calls the model, hands its text to the reply log, stores the end. */
export function createTurnRunner(deps: {
  database: Database
  ids: IdSource
  clock: Clock
  conversations: ConversationTurns
  replyLog: ReplyLog
  models: Pick<Resilience, 'generate'>
  log: Log
  /** Told of each end, for the metrics. */
  onEnded?: (turn: { aiSystem: string; end: RunEnd; durationMs: number; firstTokenMs: number | null }) => void
}) {
  const { clock, replyLog, models, log } = deps
  const running = new Map<string, Running>()

  /** Starts to execute a turn and returns at once: it goes on whether or not anybody listens. */
  function run(accepted: AcceptedTurn): LiveTurn {
    const { organizationId, conversationId, runId, fence } = accepted
    const abort = new AbortController()
    let stopped: Stop | null = null
    const stop = (how: Stop) => {
      stopped ??= how
      abort.abort()
    }
    const reply = replyLog.open({
      ...{ organizationId, conversationId, runId, fence },
      onLost: (reason) => stop({ lost: reason }),
    })
    const key = { organizationId, conversationId, runId }
    const ended = execute(accepted, reply, abort.signal, () => stopped).finally(() => running.delete(runId))
    const { userMessage, replyMessageId: messageId } = accepted
    const turn: Running = { ...key, userMessage, messageId, reply, ended, stop }
    running.set(runId, turn)
    return turn
  }

  async function execute(
    accepted: AcceptedTurn,
    reply: RunLog,
    signal: AbortSignal,
    stopped: () => Stop | null,
  ): Promise<RunEnd> {
    const progress: Progress = { context: null, outcome: null, firstTokenAt: null, ...accepted.target }
    let failure: unknown = null
    try {
      await generate(accepted, reply, signal, progress)
    } catch (error) {
      failure = error
      log.error({ err: error, runId: accepted.runId }, 'a turn failed by a fault of the server')
    }
    await reply.settle()
    const how = stopped()
    if (how && 'lost' in how) log.warn({ err: how.lost, runId: accepted.runId }, 'a turn was lost')
    const end = endOf(progress, reply, how, failure)
    return storeEnd(accepted, reply, progress, end)
  }

  async function generate(
    accepted: AcceptedTurn,
    reply: RunLog,
    signal: AbortSignal,
    progress: Progress,
  ): Promise<void> {
    const { conversation } = accepted
    const key = { organizationId: accepted.organizationId, conversationId: accepted.conversationId }
    const context = await buildContext(
      conversation,
      (before, limit) => deps.conversations.newest(key, before, limit),
      accepted.userMessage.id,
    )
    progress.context = context
    const cleaner = createTextCleaner()
    const take = (text: string) => {
      if (text !== '') reply.append(text)
    }
    progress.outcome = await models.generate({
      chain: chainOf(conversation),
      request: { ...context, settings: settingsOf(conversation), signal },
      onText: (text) => take(cleaner.push(text)),
      onFirstToken: (answering) => {
        progress.firstTokenAt = clock()
        Object.assign(progress, answering)
      },
    })
    take(cleaner.flush())
  }

  async function storeEnd(
    accepted: AcceptedTurn,
    reply: RunLog,
    progress: Progress,
    end: RunEndDraft,
  ): Promise<RunEnd> {
    const { organizationId, conversationId, runId, fence, replyMessageId, conversation } = accepted
    const { isUsageEstimated, ...runEnd } = end
    const batch = endingStatements(deps, {
      ...{ organizationId, conversationId, runId, fence, replyMessageId, isUsageEstimated },
      aiSystem: progress.aiSystem,
      model: progress.model,
      attempts: progress.outcome?.attempts ?? [],
      firstTokenAt: progress.firstTokenAt,
      texts: reply.texts,
      end: runEnd,
      userText: conversation.name === null ? accepted.userMessage.content : null,
    })
    const stored = await writeEnd(batch, runId)
    const shown = stored ? runEnd : { ...runEnd, status: 'interrupted' as const, finishReason: 'interrupted' as const }
    reply.close(shown)
    const firstTokenMs = progress.firstTokenAt === null ? null : progress.firstTokenAt - accepted.acceptedAt
    deps.onEnded?.({ aiSystem: progress.aiSystem, end: shown, durationMs: clock() - accepted.acceptedAt, firstTokenMs })
    return shown
  }

  /** True once the end is stored, false if somebody else has ended the run. */
  async function writeEnd(batch: ReturnType<typeof endingStatements>, runId: string): Promise<boolean> {
    for (let attempt = 0; ; attempt++) {
      try {
        await deps.database.write(batch)
        return true
      } catch (error) {
        const delay = END_RETRY_MS[attempt]
        if (error instanceof WriteConflict || !(error instanceof StorageError) || delay === undefined) {
          log.error({ err: error, runId }, 'the end of a turn could not be stored; it will be recovered')
          return false
        }
        await wait(delay)
      }
    }
  }

  return {
    run,

    /** The run as this process executes it, if it does. */
    find: (runId: string): LiveTurn | undefined => running.get(runId),

    /** How many runs are under way here. */
    count: (): number => running.size,

    /** Makes a run stop, keeps its text, and resolves with its end; undefined if it is not under way here. */
    async stop(runId: string, reason: StopReason): Promise<RunEnd | undefined> {
      const turn = running.get(runId)
      turn?.stop({ reason })
      return turn?.ended
    },

    /** Waits up to `graceMs` for the runs under way, then interrupts the rest and waits until they are stored. */
    async drain(graceMs: number): Promise<void> {
      const all = () => Promise.all([...running.values()].map(({ ended }) => ended))
      const timeUp = new AbortController()
      await Promise.race([all(), wait(graceMs, undefined, { signal: timeUp.signal }).catch(() => {})])
      timeUp.abort()
      for (const turn of running.values()) turn.stop({ reason: 'interrupted' })
      await all()
    },
  }
}

type Progress = {
  context: Context | null
  outcome: Outcome | null
  firstTokenAt: number | null
  aiSystem: string
  model: string
}
type RunEndDraft = RunEnd & { isUsageEstimated: boolean }

function endOf(progress: Progress, reply: RunLog, stopped: Stop | null, failure: unknown): RunEndDraft {
  const { outcome } = progress
  const { event, finishReason, error } = verdict(outcome, stopped, failure)
  const { usage, isUsageEstimated } = usageOf(progress, reply, outcome?.ok ? outcome.result : null)
  return { status: nextStatus('running', event), finishReason, error, usage, isUsageEstimated }
}

function verdict(
  outcome: Outcome | null,
  stopped: Stop | null,
  failure: unknown,
): { event: RunEvent; finishReason: FinishReason; error: RunFailure | null } {
  // A reply that was complete before the stop arrived is complete.
  if (outcome?.ok) return { event: 'complete', finishReason: outcome.result.finishReason, error: null }
  if (stopped && 'reason' in stopped) {
    return stopped.reason === 'cancelled'
      ? { event: 'cancel', finishReason: 'cancelled', error: { code: 'cancelled', message: 'the turn was cancelled' } }
      : { event: 'interrupt', finishReason: 'interrupted', error: INTERRUPTED }
  }
  if (stopped) return { event: 'interrupt', finishReason: 'interrupted', error: INTERRUPTED }
  if (outcome && failure === null)
    return { event: 'fail', finishReason: 'error', error: toFailure(outcome.error.toAppError()) }
  const known = failure instanceof AppError ? failure : new AppError('internal_error', 'the turn failed in the server')
  return { event: 'fail', finishReason: 'error', error: toFailure(known) }
}

const INTERRUPTED: RunFailure = { code: 'unavailable', message: 'the turn was interrupted by the server' }

function toFailure({ code, message, retryAfterMs }: AppError): RunFailure {
  return retryAfterMs === undefined ? { code, message } : { code, message, retryAfterMs }
}

/** What the run cost. Where the provider did not say, or was cut off before it could, what was sent and came is estimated. */
function usageOf(
  progress: Progress,
  reply: RunLog,
  result: ModelResult | null,
): { usage: Usage; isUsageEstimated: boolean } {
  if (result?.usage) return { usage: result.usage, isUsageEstimated: false }
  const isUntouched = result === null && reply.texts.length === 0
  if (isUntouched || !progress.context)
    return { usage: { promptTokens: 0, completionTokens: 0 }, isUsageEstimated: false }
  const usage = { promptTokens: contextTokens(progress.context), completionTokens: estimateReply(reply.texts) }
  return { usage, isUsageEstimated: true }
}

import { setTimeout as wait } from 'node:timers/promises'
import type { Clock } from '../../../lib/clock.ts'
import type { Log } from '../../../lib/log.ts'
import { type Database, type Statement, StorageError, WriteConflict } from '../../../storage/database.ts'
import type { Message } from '../../conversations/conversation.ts'
import { titleFrom } from '../../conversations/conversation-name.ts'
import type { ConversationTurns } from '../../conversations/for-turns/conversation-turns.ts'
import type { TurnContexts } from '../context/turn-contexts.ts'
import type { Window } from '../context/window.ts'
import { encodeEvents } from '../reply/event-codec.ts'
import type { ReplyEvent } from '../reply/reply-event.ts'
import type { RunLog } from '../reply/reply-log.ts'
import { type RunEnd, type RunKey, reasoningTokensOf } from '../run/run.ts'
import { findRun } from '../run/run-queries.ts'
import { isEnded } from '../run/run-state.ts'
import type { SentContext } from '../run/sent-context.ts'
import type { AcceptedTurn } from '../turn.ts'
import { endBatch } from './end-batch.ts'
import { leavesOut } from './left-out.ts'
import { INTERRUPTED, type Progress, type RunEndDraft } from './verdict.ts'

export type EndStoreDeps = {
  database: Database
  clock: Clock
  conversations: ConversationTurns
  contexts: Pick<TurnContexts, 'remember' | 'forget'>
  log: Pick<Log, 'warn' | 'error'>
  /** Told of each end that is stored, for what is to be done behind the reply. Must not wait, nor throw. */
  afterwards?: (turn: StoredTurn) => void
  /** Told of each end, for the metrics. */
  onEnded?: (turn: { aiSystem: string; end: RunEnd; durationMs: number; firstTokenMs: number | null }) => void
}

/** A turn whose end is stored. */
export type StoredTurn = {
  accepted: Omit<AcceptedTurn, 'fence'>
  /** What its model was sent; null when it was not asked. */
  sent: SentContext | null
  end: RunEnd
}

type StoredEnd = { end: RunEnd; events: readonly ReplyEvent[] }

/** Milliseconds between attempts to store the end of a run while the database cannot be used. */
const END_RETRY_MS = [100, 500, 2_000, 5_000]

/** Stores how runs have ended, and remembers what the next turn of their conversations will want to know. */
export function createEndStore(deps: EndStoreDeps) {
  const { clock, contexts, log } = deps
  /** Runs that are over here, but whose end could not be stored. */
  const unsettled = new Set<string>()

  /** Stores the end of a run that is over here, shows it, and says how the run has ended. */
  async function store(
    accepted: Omit<AcceptedTurn, 'fence'> & { fence: number | null },
    reply: RunLog,
    progress: Progress,
    end: RunEndDraft,
  ): Promise<RunEnd> {
    const { organizationId, conversationId, runId, fence, replyMessageId, conversation, kind, budget } = accepted
    const { isUsageEstimated, ...runEnd } = end
    const isFromUser = accepted.userMessage.role === 'user'
    const isLeftOut = leavesOut(progress, end, accepted.userMessage)
    const isOlderLeftOut = end.status === 'completed' && progress.isAlone === true
    const { statements, messages } = endBatch(deps, {
      organizationId,
      conversationId,
      runId,
      fence,
      kind,
      replyMessageId,
      isUsageEstimated,
      budget,
      userMessageId: accepted.userMessage.id,
      aiSystem: progress.aiSystem,
      model: progress.model,
      attempts: [...(progress.earlier?.attempts ?? []), ...(progress.outcome?.attempts ?? [])],
      firstTokenAt: progress.firstTokenAt,
      context: progress.sent ?? null,
      claimId: accepted.claimId,
      events: reply.events,
      end: runEnd,
      isLeftOut,
      isOlderLeftOut,
      userText: conversation.name === null && isFromUser ? accepted.userMessage.content : null,
    })
    const key = { organizationId, conversationId, runId }
    const isStored = await writeEnd(statements, key, { end: runEnd, events: reply.events })
    if (isStored && isLeftOut === undefined && !isOlderLeftOut) remember(accepted, progress.window, messages)
    else contexts.forget(conversationId)
    const stored = isStored ? runEnd : await endWithoutText(key)
    const shown: RunEnd = stored ?? {
      ...runEnd,
      status: 'interrupted',
      finishReason: 'interrupted',
      error: INTERRUPTED,
    }
    if (stored) reply.close(shown)
    else reply.lose()
    if (stored) deps.afterwards?.({ accepted, sent: progress.sent ?? null, end: shown })
    const firstTokenMs = progress.firstTokenAt === null ? null : progress.firstTokenAt - accepted.acceptedAt
    deps.onEnded?.({ aiSystem: progress.aiSystem, end: shown, durationMs: clock() - accepted.acceptedAt, firstTokenMs })
    return shown
  }

  function remember(turn: Omit<AcceptedTurn, 'fence'>, window: Window | undefined, reply: readonly Message[]): void {
    const { conversation, replyMessageId: lastMessageId, standing, userMessage } = turn
    if (!standing || !window) {
      contexts.forget(conversation.id)
      return
    }
    const messageCount = standing.messageCount + 1 + reply.length
    const name = reply.length > 0 ? (conversation.name ?? titleFrom(userMessage.content)) : conversation.name
    contexts.remember(
      { ...conversation, lastMessageId, messageCount, name },
      { ...window, messages: [...window.messages, ...reply] },
    )
  }

  /** True once the end is stored, false if somebody else has ended the run. */
  async function writeEnd(batch: readonly Statement[], key: RunKey, mine: StoredEnd): Promise<boolean> {
    const { runId } = key
    for (let attempt = 0; ; attempt++) {
      try {
        await deps.database.write(batch)
        return true
      } catch (error) {
        // The attempt before may have come through, and only its answer was lost.
        if (error instanceof WriteConflict && attempt > 0 && (await isStored(key, mine))) return true
        if (error instanceof WriteConflict) {
          log.warn({ runId, constraint: error.constraint }, 'somebody else has ended the turn')
          return false
        }
        const delay = END_RETRY_MS[attempt]
        if (!(error instanceof StorageError) || delay === undefined) {
          unsettled.add(runId)
          log.error({ err: error, runId }, 'the end of a turn could not be stored; it will be recovered')
          return false
        }
        await wait(delay)
      }
    }
  }

  /** The end that somebody else has given to a run that had not said anything: that can be told as if it were ours. */
  async function endWithoutText(key: RunKey): Promise<RunEnd | null> {
    const found = await findRun(deps.database, key).catch(() => undefined)
    if (!found || !isEnded(found.run.status) || found.eventLengths?.length !== 0) return null
    const { status, finishReason, usage, error } = found.run
    const thought = reasoningTokensOf(found.run.attempts)
    return { status, finishReason: finishReason ?? 'interrupted', usage, ...thought, error }
  }

  /** Whether this very end is what is stored of the run. */
  async function isStored(key: RunKey, { end, events }: StoredEnd): Promise<boolean> {
    const found = await findRun(deps.database, key).catch(() => undefined)
    return (
      found?.run.status === end.status &&
      found.run.finishReason === end.finishReason &&
      found.eventLengths === encodeEvents(events).lengths
    )
  }

  return {
    store,

    /** Runs that are over here, but whose end could not be stored: somebody has to, as soon as the database can be used. */
    unsettled: unsettled as ReadonlySet<string>,
    settled: (runId: string) => void unsettled.delete(runId),
  }
}

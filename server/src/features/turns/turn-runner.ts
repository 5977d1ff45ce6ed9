import { setTimeout as wait } from 'node:timers/promises'
import { AppError } from '../../errors.ts'
import type { Clock } from '../../lib/clock.ts'
import type { IdSource } from '../../lib/ids.ts'
import type { Resilience } from '../../models/resilience.ts'
import { type Database, type Statement, StorageError, WriteConflict } from '../../storage/database.ts'
import type { Message } from '../conversations/conversation.ts'
import type { ConversationTurns } from '../conversations/conversation-turns.ts'
import type { ToolService } from '../tools/toolbox.ts'
import type { Approvals } from './approvals.ts'
import type { ReadNewest, Window } from './context.ts'
import { encodeEvents } from './event-lengths.ts'
import type { RecentTalk } from './recent-talk.ts'
import { type ReplyEvent, repairsOf } from './reply-event.ts'
import type { ReplyLog, ReplyView, RunLog } from './reply-log.ts'
import type { ConversationKey, RunEnd, RunKey } from './run.ts'
import { findRun } from './run-queries.ts'
import type { SentContext } from './sent-context.ts'
import { findSummary } from './summary-queries.ts'
import { titleFrom } from './title.ts'
import { closingMessages } from './tool-pairs.ts'
import type { AcceptedTurn } from './turn-acceptance.ts'
import { type BuiltContext, buildContext, isSummarized } from './turn-context.ts'
import { endingOf } from './turn-ending.ts'
import type { TurnFiles } from './turn-files.ts'
import { isEnded } from './turn-state.ts'
import { takeSteps } from './turn-steps.ts'
import { endOf, INTERRUPTED, type Progress, type RunEndDraft, type Stop } from './turn-verdict.ts'
import type { WaitingLine } from './waiting-line.ts'

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

type StoredEnd = { end: RunEnd; events: readonly ReplyEvent[] }

type Running = LiveTurn & { stop(stop: Stop): void; isWaiting(): boolean }

/** A turn whose end is stored. */
export type StoredTurn = {
  accepted: Omit<AcceptedTurn, 'fence'>
  /** What its model was sent; null when it was not asked. */
  sent: SentContext | null
  end: RunEnd
}

/** How a run is here that goes on to wait on another server, or on this one when it has started again. */
const LEFT: RunEnd = {
  ...{ status: 'waiting', finishReason: 'interrupted', usage: { promptTokens: 0, completionTokens: 0 } },
  error: INTERRUPTED,
}

const FAULT = 'a turn failed by a fault of the server'

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
  tools: Pick<ToolService, 'open'>
  files: Pick<TurnFiles, 'load'>
  approvals: Pick<Approvals, 'forRun'>
  line: WaitingLine
  recentTalk: RecentTalk
  log: Log
  /** Told of each end that is stored, for what is to be done behind the reply. Must not wait, nor throw. */
  afterwards?: (turn: StoredTurn) => void
  /** Told of each end, for the metrics. */
  onEnded?: (turn: { aiSystem: string; end: RunEnd; durationMs: number; firstTokenMs: number | null }) => void
}) {
  const { clock, replyLog, tools, approvals, line, recentTalk, log } = deps
  const running = new Map<string, Running>()
  /** What tells whether a run waits for an approval, by run. */
  const askings = new Map<string, { isWaiting(): boolean }>()
  /** Runs that are over here, but whose end could not be stored. */
  const unsettled = new Set<string>()

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
      ...{ organizationId, conversationId, runId, fence, stored: accepted.resumption?.events ?? [] },
      onLost: (reason) => stop({ lost: reason }),
    })
    const key = { organizationId, conversationId, runId }
    const ended = execute(accepted, reply, abort.signal, stop, () => stopped).finally(() => {
      running.delete(runId)
      askings.delete(runId)
      accepted.leave()
      line.tell(conversationId)
    })
    const { userMessage, replyMessageId: messageId } = accepted
    const isWaiting = () => askings.get(runId)?.isWaiting() ?? false
    const turn: Running = { ...key, userMessage, messageId, reply, ended, stop, isWaiting }
    running.set(runId, turn)
    return turn
  }

  async function execute(
    accepted: AcceptedTurn,
    reply: RunLog,
    signal: AbortSignal,
    stop: (how: Stop) => void,
    stopped: () => Stop | null,
  ): Promise<RunEnd> {
    const progress: Progress = { context: null, outcome: null, firstTokenAt: null, ...accepted.target }
    let failure: unknown = null
    let isHeld = !accepted.isWaiting
    try {
      if (accepted.isWaiting) {
        const place = await line.wait(accepted, signal)
        isHeld = place === 'held'
        if (place === 'lost') stop({ lost: new Error('the place in the line is gone') })
      }
      if (isHeld) await generate(accepted, reply, signal, progress, stop)
    } catch (error) {
      failure = error
      if (!(error instanceof AppError)) log.error({ err: error, runId: accepted.runId }, FAULT)
    }
    await reply.settle()
    const how = stopped()
    if (how === 'left') {
      reply.lose()
      return LEFT
    }
    if (how && 'lost' in how) log.warn({ err: how.lost, runId: accepted.runId }, 'a turn was lost')
    const end = endOf(isHeld ? 'running' : 'accepted', progress, reply.events, how, failure)
    // Calls that the caller is to answer stay open; those that broke off get a result that says so.
    if (end.finishReason !== 'tool_calls') for (const repair of repairsOf(reply.events)) reply.append(repair)
    return storeEnd(isHeld ? accepted : { ...accepted, fence: null }, reply, progress, end)
  }

  async function generate(
    accepted: AcceptedTurn,
    reply: RunLog,
    signal: AbortSignal,
    progress: Progress,
    stop: (how: Stop) => void,
  ): Promise<void> {
    const { conversation } = accepted
    const key = { organizationId: accepted.organizationId, conversationId: accepted.conversationId }
    const { context: planned, sent, window } = (await accepted.ahead) ?? (await contextOf(accepted))
    const context = await deps.files.load(key, planned)
    progress.context = context
    progress.sent = sent
    if (!(await closeOpenCalls(key, window.messages))) progress.window = window
    const toolbox = await tools.open(key.organizationId, conversation.configuration, signal)
    const onFault = (error: unknown) => log.error({ err: error, runId: accepted.runId }, 'a tool failed in the server')
    const stopAsLost = (error: unknown) => stop({ lost: error })
    const { runId, fence, resumption } = accepted
    const asking = { ...key, runId, fence, isWaiting: resumption !== undefined }
    const askApproval = approvals.forRun(asking, reply, stopAsLost)
    askings.set(runId, askApproval)
    try {
      await takeSteps(deps, { accepted, context, toolbox, reply, signal, progress, askApproval, onFault })
    } finally {
      await toolbox?.close().catch(onFault)
    }
  }

  async function contextOf({ conversation, userMessage, standing }: AcceptedTurn): Promise<BuiltContext> {
    const key = { organizationId: conversation.organizationId, conversationId: conversation.id }
    const summary = isSummarized(conversation) ? await findSummary(deps.database, key) : null
    const stored: ReadNewest = (before, limit) => deps.conversations.newest(key, before, limit)
    const read = standing ? recentTalk.readFrom(conversation, standing, userMessage, stored) : stored
    return buildContext(conversation, read, userMessage.id, summary)
  }

  /** Calls that nobody has answered by now never will be. False when there are none. */
  async function closeOpenCalls(key: ConversationKey, history: readonly Message[]): Promise<boolean> {
    const closing = closingMessages(history, clock())
    if (closing.length === 0) return false
    await deps.database.write(deps.conversations.addMessages(key, closing)).catch((error: unknown) => {
      // Somebody has closed them meanwhile.
      if (!(error instanceof WriteConflict)) throw error
    })
    return true
  }

  async function storeEnd(
    accepted: Omit<AcceptedTurn, 'fence'> & { fence: number | null },
    reply: RunLog,
    progress: Progress,
    end: RunEndDraft,
  ): Promise<RunEnd> {
    const { organizationId, conversationId, runId, fence, replyMessageId, conversation, kind, budget } = accepted
    const { isUsageEstimated, ...runEnd } = end
    const isFromUser = accepted.userMessage.role === 'user'
    const { statements, messages } = endingOf(deps, {
      ...{ organizationId, conversationId, runId, fence, kind, replyMessageId, isUsageEstimated, budget },
      userMessageId: accepted.userMessage.id,
      aiSystem: progress.aiSystem,
      model: progress.model,
      attempts: [...(progress.earlier?.attempts ?? []), ...(progress.outcome?.attempts ?? [])],
      firstTokenAt: progress.firstTokenAt,
      context: progress.sent ?? null,
      claimId: accepted.claimId,
      events: reply.events,
      end: runEnd,
      userText: conversation.name === null && isFromUser ? accepted.userMessage.content : null,
    })
    const key = { organizationId, conversationId, runId }
    const isStored = await writeEnd(statements, key, { end: runEnd, events: reply.events })
    if (isStored) remember(accepted, progress.window, messages)
    else recentTalk.forget(conversationId)
    const stored = isStored ? runEnd : await endWithoutText(key)
    const shown: RunEnd = stored ?? {
      ...runEnd,
      ...{ status: 'interrupted', finishReason: 'interrupted', error: INTERRUPTED },
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
      recentTalk.forget(conversation.id)
      return
    }
    const messageCount = standing.messageCount + 1 + reply.length
    const name = reply.length > 0 ? (conversation.name ?? titleFrom(userMessage.content)) : conversation.name
    const { messages, isWhole } = window
    recentTalk.keep(
      { ...conversation, lastMessageId, messageCount, name },
      { messages: [...messages, ...reply], isWhole },
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
    return { status, finishReason: finishReason ?? 'interrupted', usage, error }
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
    run,

    /** The run as this process executes it, if it does. */
    find: (runId: string): LiveTurn | undefined => running.get(runId),

    /** How many runs are under way here. */
    count: (): number => running.size,

    /** Makes a run stop, keeps its text, and resolves with its end; undefined if it is not under way here. */
    async stop(runId: string, how: Stop): Promise<RunEnd | undefined> {
      const turn = running.get(runId)
      turn?.stop(how)
      return turn?.ended
    },

    /** Runs that are over here, but whose end could not be stored: somebody has to, as soon as the database can be used. */
    unsettled: unsettled as ReadonlySet<string>,
    settled: (runId: string) => void unsettled.delete(runId),

    /**
     * Waits up to `graceMs` for the runs under way, then interrupts the rest and waits until they are stored.
     * Those that wait for an approval are left for who comes next.
     */
    async drain(graceMs: number): Promise<void> {
      const all = async () => {
        while (running.size > 0) await Promise.all([...running.values()].map(({ ended }) => ended))
      }
      const leave = () => [...running.values()].filter((turn) => turn.isWaiting()).map((turn) => turn.stop('left'))
      leave()
      const timeUp = new AbortController()
      await Promise.race([all(), wait(graceMs, undefined, { signal: timeUp.signal }).catch(() => {})])
      timeUp.abort()
      leave()
      for (const turn of running.values()) turn.stop({ reason: 'interrupted' })
      await all()
    },
  }
}

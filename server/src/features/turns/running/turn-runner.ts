import { setTimeout as wait } from 'node:timers/promises'
import { AppError } from '../../../errors.ts'
import type { Clock } from '../../../lib/clock.ts'
import type { ConversationKey } from '../../../lib/conversation-key.ts'
import type { FairQueue } from '../../../lib/fairness/fair-queue.ts'
import type { IdSource } from '../../../lib/ids.ts'
import type { Log } from '../../../lib/log.ts'
import type { Resilience } from '../../../models/calling/resilience.ts'
import { tryWrite } from '../../../storage/database.ts'
import type { Message } from '../../conversations/conversation.ts'
import type { ConversationTurns } from '../../conversations/for-turns/conversation-turns.ts'
import type { ToolService } from '../../tools/toolbox.ts'
import { besideTools } from '../context/build-context.ts'
import type { TurnFiles } from '../context/files-for-model.ts'
import { closingMessages } from '../context/model-messages.ts'
import { formatOf } from '../context/prompt-tokens.ts'
import type { TurnContexts } from '../context/turn-contexts.ts'
import { createEndStore, type EndStoreDeps } from '../ending/end-store.ts'
import { INTERRUPTED, type Progress, type Stop, verdictOf } from '../ending/verdict.ts'
import type { TokenBudgets } from '../limits/token-budget.ts'
import { type LiveTurn, mayShowThoughts } from '../reply/readable-run.ts'
import { repairsOf } from '../reply/reply-event.ts'
import type { ReplyLog, RunLog } from '../reply/reply-log.ts'
import type { RunEnd } from '../run/run.ts'
import type { WaitingLine } from '../run/waiting-line.ts'
import type { AcceptedTurn } from '../turn.ts'
import type { Approvals } from './approvals.ts'
import { takeSteps } from './turn-steps.ts'

export type TurnRunner = ReturnType<typeof createTurnRunner>

type Running = LiveTurn & { warnings: string[]; stop(stop: Stop): void; isWaiting(): boolean }

/** How a run is here that goes on to wait on another server, or on this one when it has started again. */
const LEFT: RunEnd = {
  status: 'waiting',
  finishReason: 'interrupted',
  usage: { promptTokens: 0, completionTokens: 0 },
  error: INTERRUPTED,
}

const FAULT = 'a turn failed by a fault of the server'

/** Executes turns that have been accepted: calls the model, hands its text to the reply log, stores the end. */
export function createTurnRunner(
  deps: EndStoreDeps & {
    ids: IdSource
    clock: Clock
    conversations: ConversationTurns
    replyLog: ReplyLog
    models: Pick<Resilience, 'generate'>
    tools: Pick<ToolService, 'open'>
    /** Where calls of tools wait for their turn: organizations and keys alternate. */
    toolCalls: FairQueue
    files: Pick<TurnFiles, 'load'>
    approvals: Pick<Approvals, 'forRun'>
    line: WaitingLine
    contexts: TurnContexts
    budgets: Pick<TokenBudgets, 'ofRun'>
    log: Log
  },
) {
  const { clock, replyLog, tools, toolCalls, approvals, line, contexts, log } = deps
  const running = new Map<string, Running>()
  /** What tells whether a run waits for an approval, by run. */
  const askings = new Map<string, { isWaiting(): boolean }>()
  const ends = createEndStore(deps)

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
      organizationId,
      conversationId,
      runId,
      fence,
      stored: accepted.resumption?.events ?? accepted.thoughtBefore ?? [],
      onLost: (reason) => stop({ lost: reason }),
    })
    const key = { organizationId, conversationId, runId }
    const ended = execute(accepted, reply, abort.signal, stop, () => stopped).finally(() => {
      running.delete(runId)
      askings.delete(runId)
      accepted.place.leave()
      line.tell(conversationId)
    })
    const { userMessage, replyMessageId: messageId } = accepted
    const isWaiting = () => askings.get(runId)?.isWaiting() ?? false
    const cancel = () => stop({ reason: 'cancelled' })
    const seen = { warnings: [], mayShowThoughts: mayShowThoughts(accepted.conversation) }
    const turn: Running = { ...key, ...seen, userMessage, messageId, reply, ended, stop, cancel, isWaiting }
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
    if (accepted.earlier) progress.earlier = { usage: accepted.earlier, isUsageEstimated: true, attempts: [] }
    let failure: unknown = null
    let isHeld = !accepted.isInLine
    try {
      if (accepted.isInLine) {
        const place = await line.wait(accepted, signal)
        isHeld = place === 'held'
        if (place === 'lost') stop({ lost: new Error('the place in the line is gone') })
      }
      if (isHeld) await generate(accepted, reply, signal, progress, stop)
    } catch (error) {
      failure = error
      if (!(error instanceof AppError)) log.error({ err: error, runId: accepted.runId }, FAULT)
      else if (error.cause !== undefined) log.warn({ err: error, runId: accepted.runId }, 'a turn could not go on')
    }
    await reply.settle()
    const how = stopped()
    if (how === 'left') {
      reply.lose()
      return LEFT
    }
    if (how && 'lost' in how) log.warn({ err: how.lost, runId: accepted.runId }, 'a turn was lost')
    const end = verdictOf(isHeld ? 'running' : 'accepted', progress, reply.events, how, failure)
    // Calls that the caller is to answer stay open; those that broke off get a result that says so.
    if (end.finishReason !== 'tool_calls') for (const repair of repairsOf(reply.events)) reply.append(repair)
    return ends.store(isHeld ? accepted : { ...accepted, fence: null }, reply, progress, end)
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
    const built = (await accepted.earlyContext) ?? (await contexts.of(accepted))
    progress.context = built.context
    progress.sent = built.sent
    if (!(await closeOpenCalls(key, built.window.messages))) progress.window = built.window
    const toolbox = await tools.open(accepted, conversation, signal)
    if (toolbox) running.get(accepted.runId)?.warnings.push(...toolbox.warnings)
    const planned = toolbox ? besideTools(built, conversation, toolbox.definitions) : built
    progress.sent = planned.sent
    const enterCall = (aborted: AbortSignal) => toolCalls.enter([key.organizationId, accepted.keyId ?? ''], aborted)
    progress.beside = { ...(toolbox && { tools: toolbox.definitions }), ...formatOf(conversation.configuration) }
    const budget = deps.budgets.ofRun(accepted)
    const onFault = (error: unknown) => log.error({ err: error, runId: accepted.runId }, 'a tool failed in the server')
    const stopAsLost = (error: unknown) => stop({ lost: error })
    const { runId, fence, place, resumption } = accepted
    const asking = { ...key, runId, fence, place, isWaiting: resumption !== undefined }
    const askApproval = approvals.forRun(asking, reply, stopAsLost)
    askings.set(runId, askApproval)
    try {
      const context = await deps.files.load(key, planned.context)
      progress.context = context
      await takeSteps(deps, {
        accepted,
        context,
        wasRefused: built.window.messages.at(-2)?.leftOut !== undefined,
        toolbox,
        budget,
        reply,
        signal,
        progress,
        askApproval,
        enterCall,
        onFault,
      })
    } finally {
      await toolbox?.close().catch(onFault)
    }
  }

  /** Calls that nobody has answered by now never will be. False when there are none. */
  async function closeOpenCalls(key: ConversationKey, history: readonly Message[]): Promise<boolean> {
    const closing = closingMessages(history, clock())
    if (closing.length === 0) return false
    // A conflict says that somebody has closed them meanwhile.
    await tryWrite(deps.database, deps.conversations.addMessages(key, closing))
    return true
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

    unsettled: ends.unsettled,
    settled: ends.settled,

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

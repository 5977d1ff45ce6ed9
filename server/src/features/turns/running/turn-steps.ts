import type { Clock } from '../../../lib/clock.ts'
import { fitWindow } from '../../../models/calling/fit-window.ts'
import type { Resilience } from '../../../models/calling/resilience.ts'
import type { ModelMessage } from '../../../models/model.ts'
import type { CallOutcome, UpcomingAttempt } from '../../../models/model-call.ts'
import { DEFAULT_TIMEOUTS } from '../../../models/settings.ts'
import { isWanted } from '../../../models/thinking/thoughts.ts'
import type { ToolCall } from '../../../models/tool-call.ts'
import type { Toolbox } from '../../tools/toolbox.ts'
import { chainOf, replyTokens, settingsOf, windowOf } from '../context/build-context.ts'
import { callIdOf } from '../context/call-ids.ts'
import { besideTokens } from '../context/prompt-tokens.ts'
import { type Context, systemTokens } from '../context/window.ts'
import { isOfMessages } from '../ending/left-out.ts'
import { addUsage, costOf, NOTHING, type Progress } from '../ending/verdict.ts'
import { plannedCall, type RunBudget } from '../limits/call-budget.ts'
import { lastSaid, openCalls, type ReplyEvent, type Step, stepsOf } from '../reply/reply-event.ts'
import type { RunLog } from '../reply/reply-log.ts'
import { createTextCleaner } from '../reply/text-cleaner.ts'
import type { AcceptedTurn } from '../turn.ts'
import { createResultFiles } from './result-files.ts'
import { type AskApproval, executeCalls } from './tool-execution.ts'

/** Calls that a model may make in one step; it hears of those that are too many. */
const MOST_CALLS = 32

type Steps = {
  accepted: AcceptedTurn
  context: Context
  /** The message before this one was refused as well. */
  wasRefused: boolean
  /** Null where there are no tools. */
  toolbox: Toolbox | null
  /** What it may spend; null where nobody counts. */
  budget: RunBudget | null
  reply: RunLog
  signal: AbortSignal
  progress: Progress
  /** Says also how long the asking has taken so far. */
  askApproval: AskApproval & { waitedMs(): number }
  enterCall(signal: AbortSignal): Promise<() => void>
  onFault(error: unknown): void
}

/**
 * Asks the model, makes the calls that it wants, and asks again with their results, until it answers without calls, has
 * called something that the client runs, or has used its steps up. What it costs is in `progress`, also when it breaks off.
 */
export async function takeSteps(deps: { models: Pick<Resilience, 'generate'>; clock: Clock }, turn: Steps) {
  const { toolbox, reply, signal, progress, askApproval } = turn
  const startedAt = deps.clock()
  let { context } = turn
  const files = createResultFiles()
  for (const event of turn.accepted.resumption?.interrupted ?? []) reply.append(event)
  for (let step = 0; ; step++) {
    const shown = files.shownBehind(context)
    progress.context = shown
    const isLast = toolbox !== null && step >= toolbox.maxSteps
    const known = stepsOf(reply.events)[step]
    if (known) settleKnown(turn, known)
    else {
      const spentMs = deps.clock() - startedAt - askApproval.waitedMs()
      progress.outcome = await ask(deps, turn, shown, isLast, spentMs)
      if (step === 0) await askAlone(deps, turn, context)
      const calls = callsOf(progress.outcome, toolbox, (n) => callIdOf(turn.accepted.runId, step, n))
      keepBeside(reply, progress.outcome, calls.length > 0)
      if (calls.length === 0) return
      settleStep(progress, [...lastSaid(reply.events), { kind: 'calls', calls }])
      await turn.budget?.record((progress.earlier ?? NOTHING).usage)
      reply.append({ kind: 'calls', calls })
    }
    // From here on a crash finds the calls, and does not make them again.
    await reply.stored()
    if (!toolbox || signal.aborted) return
    const calls = openCalls(stepsOf(reply.events)[step] as Step)
    if (isLast) refuseAll(reply, calls, toolbox.maxSteps)
    else await executeCalls({ ...turn, toolbox, calls, onFiles: files.take })
    if (signal.aborted) return
    const done = stepsOf(reply.events)[step] as Step
    if (isLast || openCalls(done).length > 0) {
      progress.outcome = ended(progress, isLast ? 'length' : 'tool_calls')
      return
    }
    context = withStep(turn, context, done)
  }
}

/** The context with what a step has come to, as much of it as there is room for. */
function withStep({ accepted, progress }: Steps, context: Context, done: Step): Context {
  const messages = [...context.messages, ...messagesOfStep(done)]
  const { conversation } = accepted
  const taken = replyTokens(conversation) + systemTokens(context) + besideTokens(progress.beside ?? {})
  // Where even so it is too much, the provider says how much it takes.
  return { ...context, messages: fitWindow(messages, windowOf(conversation) - taken) ?? messages }
}

/**
 * When also the message before was refused, it is most likely something older that the provider does not take any more:
 * asks once again with nothing but the question.
 */
async function askAlone(deps: Parameters<typeof ask>[0], turn: Steps, context: Context): Promise<void> {
  const { progress, wasRefused, signal } = turn
  const { outcome } = progress
  const newest = context.messages.at(-1)
  if (!wasRefused || outcome?.ok !== false || !isOfMessages(outcome.error) || signal.aborted) return
  if (newest?.role !== 'user' || context.messages.length === 1) return
  progress.context = { ...context, messages: [newest] }
  const again = await ask(deps, turn, progress.context, false, 0)
  // What nobody explains may be over by the next turn: then all of it is there again.
  if (again.ok && outcome.error.refusal?.about !== 'something') progress.isAlone = true
  progress.outcome = { ...again, attempts: [...outcome.attempts, ...again.attempts] }
}

async function ask(
  { models, clock }: { models: Pick<Resilience, 'generate'>; clock: Clock },
  { accepted, toolbox, budget, reply, signal, progress }: Steps,
  context: Context,
  mustAnswer: boolean,
  spentMs: number,
): Promise<CallOutcome> {
  const settings = settingsOf(accepted.conversation)
  const totalMs = (settings.timeouts?.totalMs ?? DEFAULT_TIMEOUTS.totalMs) - spentMs
  const { usage } = progress.earlier ?? NOTHING
  const plan = {
    system: context.system,
    beside: progress.beside ?? {},
    reply: replyTokens(accepted.conversation),
    spent: usage.promptTokens + usage.completionTokens,
  }
  const cleaner = createTextCleaner()
  const thoughtCleaner = createTextCleaner()
  const take = (text: string) => {
    if (text !== '') reply.append(text)
  }
  const outcome = await models.generate({
    chain: chainOf(accepted.conversation),
    caller: accepted,
    ...(budget && { admit: (attempt: UpcomingAttempt) => budget.admit(plannedCall(plan, attempt)) }),
    request: {
      ...context,
      ...(toolbox && { tools: toolbox.definitions, mustAnswer }),
      settings:
        spentMs > 0 ? { ...settings, timeouts: { ...settings.timeouts, totalMs: Math.max(1, totalMs) } } : settings,
      signal,
    },
    onText: (text) => take(cleaner.push(text)),
    onThought(text) {
      const piece = thoughtCleaner.push(text)
      if (piece !== '') reply.append({ kind: 'thought', text: piece })
    },
    onWasThought() {
      take(cleaner.flush())
      reply.append({ kind: 'wasThought' })
    },
    onFirstToken: (answering) => {
      progress.firstTokenAt ??= clock()
      Object.assign(progress, answering)
    },
  })
  take(cleaner.flush())
  return outcome
}

/** Stores what the provider wants back with the step, if it does. */
function keepBeside(reply: RunLog, outcome: CallOutcome, hasCalls: boolean): void {
  const thoughts = outcome.ok ? outcome.result.thoughts : undefined
  if (thoughts && isWanted(thoughts, hasCalls)) reply.append({ kind: 'beside', thoughts })
}

/** The calls of a reply that is whole, under ids of ours; one that was cut may have cut calls. */
function callsOf(outcome: CallOutcome, toolbox: Toolbox | null, idOf: (n: number) => string): ToolCall[] {
  if (!outcome.ok || toolbox === null) return []
  const { toolCalls = [], finishReason } = outcome.result
  if (finishReason === 'length' || finishReason === 'content_filter') return []
  return toolCalls.slice(0, MOST_CALLS).map((call, n) => ({ ...call, id: idOf(n), name: storable(call.name) }))
}

/** A name that can be stored everywhere, whatever the model made up. */
function storable(name: string): string {
  return name.replaceAll('\0', '\ufffd').toWellFormed().slice(0, 256)
}

/** Adds what a step has cost that is over, so that what comes after it can break off. */
function settleStep(progress: Progress, said: readonly ReplyEvent[]): void {
  const { outcome, earlier = NOTHING } = progress
  if (!outcome?.ok) return
  const { usage, isUsageEstimated } = costOf(progress, said)
  progress.earlier = {
    usage: addUsage(earlier.usage, usage),
    isUsageEstimated: earlier.isUsageEstimated || isUsageEstimated,
    attempts: [...earlier.attempts, ...outcome.attempts],
  }
  progress.outcome = null
}

/** The same for a step that another server has taken, unless it kept count. */
function settleKnown({ accepted, progress }: Steps, { text, calls }: Step): void {
  if (accepted.earlier) return
  const { usage, attempts } = progress.earlier ?? NOTHING
  const estimate = costOf(progress, [text, { kind: 'calls', calls }]).usage
  progress.earlier = { usage: addUsage(usage, estimate), isUsageEstimated: true, attempts }
}

/** The outcome of a run whose last step is settled. */
function ended({ aiSystem, model }: Progress, finishReason: 'tool_calls' | 'length'): CallOutcome {
  return { ok: true, aiSystem, model, result: { finishReason, usage: NOTHING.usage }, attempts: [] }
}

function refuseAll(reply: RunLog, calls: readonly ToolCall[], maxSteps: number): void {
  for (const { id, name } of calls) {
    const content = `Error: not called, because a reply may use tools ${maxSteps} times.`
    reply.append({ kind: 'result', toolCallId: id, name, content })
  }
}

/** A step as the model sees it in the next one. */
export function messagesOfStep({ text: said, calls: toolCalls, results, thoughts }: Step): ModelMessage[] {
  const contentOf = (id: string) => results.find(({ toolCallId }) => toolCallId === id)?.content.trim() || '(nothing)'
  return [
    { role: 'assistant', content: said, toolCalls, ...(thoughts && { thoughts }) },
    ...toolCalls.map(({ id, name }) => ({ role: 'tool' as const, toolCallId: id, name, content: contentOf(id) })),
  ]
}

import { setTimeout as wait } from 'node:timers/promises'
import { AppError } from '../../errors.ts'
import type { Clock } from '../../lib/clock.ts'
import type { ConversationKey } from '../../lib/conversation-key.ts'
import type { Database } from '../../storage/database.ts'
import type { ConversationTurns } from '../conversations/for-turns/conversation-turns.ts'
import type { TurnContexts } from './context/turn-contexts.ts'
import { endStoredRun } from './ending/end-stored-run.ts'
import { type Progress, type Stop, verdictOf } from './ending/verdict.ts'
import { textLengthOf } from './reply/event-codec.ts'
import { findTurnsOf, requestStop, selectRunningTurn } from './run/hold-queries.ts'
import { selectLine } from './run/line-queries.ts'
import type { Run, RunKey } from './run/run.ts'
import { findRun } from './run/run-queries.ts'
import { isEnded } from './run/run-state.ts'
import type { RunService } from './run-service.ts'
import type { TurnRunner } from './running/turn-runner.ts'

/** What cancelling has left: the text that is kept is what was sent. */
export type Receipt = Pick<Run, 'status' | 'finishReason' | 'usage'> & { runId: string; textLength: number }
export type RunStopper = ReturnType<typeof createRunStopper>

/** Milliseconds that another node has to stop a run when it is asked to, and between looks whether it has. */
const REMOTE_STOP_MS = 5_000
const REMOTE_LOOK_MS = 50

/** Stops runs, on whichever node they are executed or wait. */
export function createRunStopper(deps: {
  database: Database
  clock: Clock
  runner: Pick<TurnRunner, 'stop'>
  runs: Pick<RunService, 'get'>
  conversations: ConversationTurns
  contexts: Pick<TurnContexts, 'forget'>
}) {
  const { database, runner, runs, contexts } = deps

  /** Makes a run stop, and waits until its end is stored. */
  async function stop(key: RunKey, how: Extract<Stop, { reason: string }>): Promise<void> {
    const { organizationId, conversationId, runId } = key
    const request = requestStop(database, { organizationId, conversationId, runId, reason: how.reason })
    let isAsked = false
    // From the beginning each time: what waited may have begun to run meanwhile, here or elsewhere.
    for (let waited = 0; waited <= REMOTE_STOP_MS; waited += REMOTE_LOOK_MS) {
      if (await runner.stop(runId, how)) return
      const found = await findRun(database, key)
      if (!found || isEnded(found.run.status)) return
      if (found.run.status === 'accepted') await endWaiting(key, found.run, how)
      else if (!isAsked) isAsked = (await database.write([request]))[0] === 1
      await wait(REMOTE_LOOK_MS)
    }
  }

  /** Ends a run that waits for its place on another node, which finds its place gone then. */
  async function endWaiting(key: RunKey, run: Run, how: Extract<Stop, { reason: string }>): Promise<void> {
    const { aiSystem, model, firstTokenAt } = run
    const nothing: Progress = { context: null, outcome: null, firstTokenAt, aiSystem, model }
    const { isUsageEstimated, ...end } = verdictOf('accepted', nothing, [], how, null)
    await endStoredRun(deps, key, run, { fence: null, events: [], end, isUsageEstimated })
  }

  return {
    stop,

    /** Stops a run and says what is left of it; a run that has ended gives the same receipt again. Throws 404 and 410. */
    async cancel(key: RunKey): Promise<Receipt> {
      if (!isEnded((await runs.get(key)).run.status)) await stop(key, { reason: 'cancelled' })
      const { run, eventLengths } = await runs.get(key)
      if (!isEnded(run.status)) {
        throw new AppError('unavailable', 'the server that executes the run does not answer', {
          conversationId: key.conversationId,
          runId: key.runId,
          retryAfterMs: 1_000,
        })
      }
      return {
        runId: run.id,
        status: run.status,
        finishReason: run.finishReason,
        usage: run.usage,
        textLength: textLengthOf(eventLengths ?? ''),
      }
    },

    /** Cancels the turns under way on a conversation that is deleted, so that no other can begin on it. */
    async stopConversation(key: ConversationKey): Promise<void> {
      contexts.forget(key.conversationId)
      // In this order: one that leaves the line between the two looks is seen holding the conversation.
      const waiting = await selectLine(database, key)
      const held = await selectRunningTurn(database, key)
      const stops = [...waiting, ...held].map(({ run_id }) => stop({ ...key, runId: run_id }, { reason: 'cancelled' }))
      const failed = (await Promise.allSettled(stops)).find((one) => one.status === 'rejected')
      if (failed) throw failed.reason
    },

    /** The same for several conversations. */
    async stopAll(organizationId: string, conversationIds: readonly string[]): Promise<void> {
      const [waiting, held] = await Promise.all([
        findTurnsOf(database, 'waiting_turn', organizationId, conversationIds),
        findTurnsOf(database, 'running_turn', organizationId, conversationIds),
      ])
      // Together: one whose server is gone keeps everybody waiting for as long as that may take to answer.
      await Promise.all([...waiting, ...held].map((key) => stop(key, { reason: 'cancelled' })))
      for (const id of conversationIds) contexts.forget(id)
    },
  }
}

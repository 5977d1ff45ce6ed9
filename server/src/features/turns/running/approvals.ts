import { setTimeout as wait } from 'node:timers/promises'
import { AppError, badField } from '../../../errors.ts'
import type { Clock } from '../../../lib/clock.ts'
import type { IdSource } from '../../../lib/ids.ts'
import { type Repeated, repeat } from '../../../lib/repeat.ts'
import type { ToolCall } from '../../../models/tool-call.ts'
import { type Database, type Statement, WriteConflict } from '../../../storage/database.ts'
import type { Place } from '../limits/turn-limits.ts'
import { findEvents } from '../reply/event-queries.ts'
import { openCalls, type ReplyEvent, stepsOf } from '../reply/reply-event.ts'
import type { RunLog } from '../reply/reply-log.ts'
import {
  changeStatus,
  type Decision,
  deleteWaitingCall,
  deleteWaitingCalls,
  findDecidedRuns,
  IS_DECIDED,
  insertDecision,
  insertWaitingCall,
  prolongWaitingCalls,
  STATUS_IS_AS_BEFORE,
  selectDecisions,
  takeApproval,
} from '../run/decision-queries.ts'
import { confirmTurn } from '../run/hold-queries.ts'
import type { RunKey } from '../run/run.ts'
import { findRun } from '../run/run-queries.ts'
import { nextStatus } from '../run/run-state.ts'
import type { AskApproval } from './tool-execution.ts'

export type Approvals = ReturnType<typeof createApprovals>
type Answer = Awaited<ReturnType<AskApproval>>

/** Milliseconds that somebody has to decide. */
const AN_HOUR_MS = 3_600_000
/** Milliseconds between looks for what was decided on other nodes, one look for all that wait here. */
const POLL_MS = 250
/** How often, and how many milliseconds apart, to look for the event that says which calls a run waits for. */
const MOST_LOOKS = 50
const LOOK_AGAIN_MS = 20

/**
 * Calls that somebody has to allow. While there are some the run is `waiting`, which its stream shows; a decision is
 * stored, so that it can be given on any node, and given twice it counts once. Meanwhile the run's place among the turns
 * under way is free for others.
 */
export function createApprovals(deps: {
  database: Database
  ids: IdSource
  clock: Clock
  isAlone: boolean
  /** Milliseconds that somebody has to decide; an hour by default. */
  patienceMs?: number
}) {
  const { database, ids, clock, isAlone, patienceMs = AN_HOUR_MS } = deps
  /** Whom to tell of a decision, by run. */
  const waiting = new Map<string, { key: RunKey; look: () => void }>()
  let polling: Repeated | null = null

  async function lookForAll(): Promise<void> {
    const keys = [...waiting.values()].map(({ key }) => key)
    for (const runId of await findDecidedRuns(database, keys)) waiting.get(runId)?.look()
  }

  function beginToWait(key: RunKey, look: () => void): void {
    waiting.set(key.runId, { key, look })
    // The next look comes anyway.
    if (!isAlone) polling ??= repeat(lookForAll, POLL_MS, () => {})
  }

  /** False when it has not waited. */
  function endToWait(runId: string): boolean {
    if (!waiting.delete(runId)) return false
    if (waiting.size === 0) {
      void polling?.stop()
      polling = null
    }
    return true
  }

  /** Asks on behalf of one run, which may be waiting already. `fault` is told when its status cannot be stored. */
  function forRun(
    run: RunKey & { fence: number; isWaiting: boolean; place: Place },
    reply: RunLog,
    fault: (error: unknown) => void,
  ) {
    const { fence, place, ...key } = run
    const pending = new Map<string, { call: ToolCall; settle: (answer: Answer) => void }>()
    let { isWaiting } = run
    const taking = new Set<string>()
    let isChanging = false
    let waitedMs = 0
    let since = 0

    /** Makes the run what it should be: waiting as long as there is somebody to wait for. */
    async function adjust(): Promise<void> {
      if (isChanging) return
      isChanging = true
      try {
        // It goes on to wait where another server has stopped.
        if (isWaiting && pending.size > 0 && !waiting.has(key.runId)) await goOnWaiting()
        while (isWaiting !== pending.size > 0) await change()
      } catch (error) {
        end()
        throw error
      }
      isChanging = false
    }

    async function change(): Promise<void> {
      const [from, event] = isWaiting ? (['waiting', 'resume'] as const) : (['running', 'wait'] as const)
      await database.write([
        confirmTurn(database, { ...key, fence }),
        changeStatus(database, { ...key, from, to: nextStatus(from, event) }),
        ...(isWaiting ? [deleteWaitingCalls(database, key)] : noted()),
      ])
      isWaiting = !isWaiting
      if (!isWaiting) return end()
      reply.append({ kind: 'waiting', toolCallIds: [...pending.keys()] })
      begin()
    }

    async function goOnWaiting(): Promise<void> {
      begin()
      const prolonged = prolongWaitingCalls(database, { ...key, expiresAt: clock() + patienceMs })
      await database.write([confirmTurn(database, { ...key, fence }), prolonged])
    }

    /** For the list of all calls that wait. */
    function noted(): Statement[] {
      return [...pending.values()].map(({ call: { id: toolCallId, name, input } }) => {
        const shown = { id: ids.next(), toolCallId, name, input: JSON.stringify(input) }
        const createdAt = clock()
        return insertWaitingCall(database, { ...key, ...shown, createdAt, expiresAt: createdAt + patienceMs })
      })
    }

    function begin(): void {
      since = clock()
      place.pause()
      beginToWait(key, look)
      // Who saw the status may have been quicker than the event.
      look()
    }

    function end(): void {
      if (!endToWait(key.runId)) return
      waitedMs += clock() - since
      place.resume()
    }

    function look(): void {
      selectDecisions(database, key)
        .then((rows) => {
          for (const { tool_call_id, decision } of rows) {
            if (decision === 'rejected') pending.get(tool_call_id)?.settle('rejected')
            else if (decision === 'approved') void take(tool_call_id)
          }
        })
        // The next look, or the end of patience, comes anyway.
        .catch(() => {})
    }

    /** Before the call is made it is stored that it may have been: whoever finds that does not make it again. */
    async function take(toolCallId: string): Promise<void> {
      if (!pending.has(toolCallId) || taking.has(toolCallId)) return
      taking.add(toolCallId)
      const mine = confirmTurn(database, { ...key, fence })
      const taken = await database.write([mine, takeApproval(database, { ...key, toolCallId })]).catch(() => null)
      taking.delete(toolCallId)
      if (taken) pending.get(toolCallId)?.settle('approved')
    }

    /** A call is not made when its time is over; that is a decision too, so that nobody is told of another one. */
    async function expire(toolCallId: string): Promise<void> {
      try {
        const mine = confirmTurn(database, { ...key, fence })
        await database.write([
          mine,
          insertDecision(database, { ...key, toolCallId, decision: 'expired' }),
          deleteWaitingCall(database, { ...key, toolCallId }),
        ])
        pending.get(toolCallId)?.settle('expired')
      } catch (error) {
        // Somebody was quicker; or the run is not ours any more, and its end says what it is.
        if (error instanceof WriteConflict) look()
        else fault(error)
      }
    }

    const ask: AskApproval = (call, signal) =>
      new Promise((resolve) => {
        if (signal.aborted) return resolve('left')
        const settle = (answer: Answer) => {
          clearTimeout(timer)
          signal.removeEventListener('abort', leave)
          pending.delete(call.id)
          resolve(answer)
          // When the run stops, its end says what it is.
          if (answer === 'left') end()
          else adjust().catch(fault)
        }
        const leave = () => settle('left')
        const timer = setTimeout(expire, patienceMs, call.id)
        signal.addEventListener('abort', leave)
        pending.set(call.id, { call, settle })
        // In the next tick, when all calls of the step have asked.
        if (pending.size === 1) setImmediate(() => adjust().catch(fault))
      })
    return Object.assign(ask, { waitedMs: () => waitedMs, isWaiting: () => waiting.has(key.runId) })
  }

  return {
    forRun,

    /**
     * Decides about a call that a run waits for; the same decision again changes nothing as long as it waits. Throws 409
     * when the run does not wait or the call was decided about before, and 400 for another call.
     */
    async decide(key: RunKey, toolCallId: string, decision: Decision): Promise<void> {
      const found = await findRun(database, key)
      if (found?.run.status !== 'waiting') throw notWaiting(key)
      if (!(await findAsked(key)).includes(toolCallId)) {
        const known = await decisionOf(key, toolCallId)
        if (known) throw conflict(key, `the call was ${known} before`)
        throw badField('toolCallId', 'is not the id of a call that the run waits for')
      }
      try {
        await database.write([
          changeStatus(database, { ...key, from: 'waiting', to: 'waiting' }),
          insertDecision(database, { ...key, toolCallId, decision }),
          deleteWaitingCall(database, { ...key, toolCallId }),
        ])
      } catch (error) {
        if (!(error instanceof WriteConflict)) throw error
        if (error.constraint === STATUS_IS_AS_BEFORE) throw notWaiting(key)
        if (error.constraint !== IS_DECIDED) throw error
        const known = await decisionOf(key, toolCallId)
        if (known !== decision) throw conflict(key, `the call was ${known ?? 'decided about'} before`)
      }
      waiting.get(key.runId)?.look()
    },
  }

  /** The calls that a run has asked about and that have no result. Who saw its status may be quicker than the event. */
  async function findAsked(key: RunKey): Promise<string[]> {
    for (let look = 0; look < MOST_LOOKS; look++) {
      const ids = asked(await findEvents(database, key, 0))
      if (ids) return ids
      await wait(LOOK_AGAIN_MS)
    }
    return []
  }

  async function decisionOf(key: RunKey, toolCallId: string): Promise<string | undefined> {
    const rows = await selectDecisions(database, key)
    const decision = rows.find(({ tool_call_id }) => tool_call_id === toolCallId)?.decision
    return decision === 'taken' ? 'approved' : decision
  }
}

/** Null as long as the event that names them is not stored. */
function asked(events: readonly ReplyEvent[]): string[] | null {
  const last = stepsOf(events).at(-1)
  const open = last ? openCalls(last).map(({ id }) => id) : []
  const from = events.findLastIndex((event) => typeof event !== 'string' && event.kind === 'calls')
  const ids = events
    .slice(from)
    .flatMap((event) => (typeof event !== 'string' && event.kind === 'waiting' ? event.toolCallIds : []))
  return ids.length === 0 ? null : open.filter((id) => ids.includes(id))
}

function notWaiting(key: RunKey): AppError {
  return conflict(key, 'the run does not wait for an approval')
}

function conflict({ conversationId, runId }: RunKey, message: string): AppError {
  return new AppError('conflict', message, { conversationId, runId })
}

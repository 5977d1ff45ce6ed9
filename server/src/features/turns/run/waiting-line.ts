import type { Clock } from '../../../lib/clock.ts'
import { type Repeated, repeat } from '../../../lib/repeat.ts'
import { type Database, StorageError, WriteConflict } from '../../../storage/database.ts'
import { holdNext, selectRunningTurn } from './hold-queries.ts'
import { leaveLine, selectFreeLines, selectLine } from './line-queries.ts'
import type { RunKey } from './run.ts'
import { startRun } from './run-queries.ts'
import { nextStatus } from './run-state.ts'

export type WaitingLine = ReturnType<typeof createWaitingLine>

type Waiting = RunKey & { fence: number }

/** Milliseconds between looks for the lines that have become free, one look for all that wait here. */
const POLL_MS = 100
/** Milliseconds after which a turn looks by itself when it has heard nothing. */
const LOOK_AGAIN_MS = 1_000

/**
 * Lets the turns that wait for a conversation have it one after the other, first come first served, over all nodes: a
 * turn may only take hold when it is the first in the line and nothing runs.
 */
export function createWaitingLine(deps: {
  database: Database
  clock: Clock
  nodeId: string
  leaseMs: number
  /** No other node can be there. */
  isAlone: boolean
}) {
  const { database, clock, nodeId, leaseMs, isAlone } = deps
  /** Who to tell, by conversation. */
  const listeners = new Map<string, Set<() => void>>()
  let polling: Repeated | null = null

  /** Other nodes do not tell when they are done. */
  async function lookForAll(): Promise<void> {
    for (const { conversation_id } of await selectFreeLines(database, { nodeId })) tell(conversation_id)
  }

  function listen(conversationId: string, listener: () => void): void {
    const those = listeners.get(conversationId) ?? new Set()
    listeners.set(conversationId, those.add(listener))
    if (!isAlone) polling ??= repeat(lookForAll, POLL_MS, () => {})
  }

  function unlisten(conversationId: string, listener: () => void): void {
    const those = listeners.get(conversationId)
    those?.delete(listener)
    if (those?.size === 0) listeners.delete(conversationId)
    if (listeners.size > 0) return
    void polling?.stop()
    polling = null
  }

  function tell(conversationId: string): void {
    for (const listener of [...(listeners.get(conversationId) ?? [])]) listener()
  }

  function newsOrTimeout(conversationId: string, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer)
        signal.removeEventListener('abort', done)
        unlisten(conversationId, done)
        resolve()
      }
      const timer = setTimeout(done, LOOK_AGAIN_MS)
      signal.addEventListener('abort', done)
      listen(conversationId, done)
    })
  }

  async function take(turn: Waiting): Promise<boolean> {
    const { organizationId, conversationId, runId } = turn
    const now = clock()
    try {
      await database.write([
        leaveLine(database, { organizationId, conversationId, runId }),
        holdNext(database, {
          organization_id: organizationId,
          conversation_id: conversationId,
          run_id: runId,
          fence: turn.fence,
          node_id: nodeId,
          expires_at: now + leaseMs,
        }),
        startRun(database, {
          organizationId,
          conversationId,
          runId,
          status: nextStatus('accepted', 'start'),
          at: now,
        }),
      ])
      return true
    } catch (error) {
      // Somebody was quicker, or the place is gone: the next look tells which.
      if (error instanceof WriteConflict) return false
      throw error
    }
  }

  function isOurs(held: { run_id: string; node_id: string; fence: number }, turn: Waiting): boolean {
    return held.run_id === turn.runId && held.node_id === nodeId && held.fence === turn.fence
  }

  async function look(turn: Waiting): Promise<'held' | 'lost' | 'not yet' | 'too late'> {
    try {
      const [line, running] = await Promise.all([selectLine(database, turn), selectRunningTurn(database, turn)])
      // The answer to the write that took hold may have been lost.
      if (running[0] && isOurs(running[0], turn)) return 'held'
      if (!line.some(({ run_id }) => run_id === turn.runId)) return 'lost'
      if (line[0]?.run_id !== turn.runId || running.length > 0) return 'not yet'
      return (await take(turn)) ? 'held' : 'too late'
    } catch (error) {
      // Its place is stored: when the database can be used again, the turn still has it.
      if (error instanceof StorageError) return 'not yet'
      throw error
    }
  }

  return {
    /**
     * Resolves with `held` when the turn has taken hold, with `left` when the signal came first, and with `lost` when
     * its place in the line is gone: another node has ended it.
     */
    async wait(turn: Waiting, signal: AbortSignal): Promise<'held' | 'left' | 'lost'> {
      while (!signal.aborted) {
        const found = await look(turn)
        if (found === 'held' || found === 'lost') return found
        if (found === 'not yet') await newsOrTimeout(turn.conversationId, signal)
      }
      return 'left'
    },

    /** Tells those who wait for a conversation that something has changed there. */
    tell,
  }
}

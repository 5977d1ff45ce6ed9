import type { Database } from '../../storage/database.ts'
import { encodeLengths } from './event-lengths.ts'
import { insertChunk } from './event-queries.ts'
import type { RunEnd, RunKey } from './run.ts'

/** What readers see of a run's events: those that are committed, and the end once there is one. */
export type ReplyView = {
  /** The text of each event. Only those below `committed` may be shown. */
  readonly texts: readonly string[]
  readonly committed: number
  /** Set once everything is stored; then all texts are committed. */
  readonly end: RunEnd | null
  /** This process cannot tell how it goes on: whoever reads should ask again. */
  readonly isLost: boolean
  /** Calls `listener` whenever there is something new; gives back how to stop that. */
  watch(listener: () => void): () => void
}

/** The events of one run under way. */
export type RunLog = ReplyView & {
  /** Adds an event. It is shown when it has been committed. */
  append(text: string): void
  /** Stops committing events one by one, and resolves when none is under way: the end batch takes the rest. */
  settle(): Promise<void>
  /** Shows everything and the end. Only after the end batch is committed. */
  close(end: RunEnd): void
  /** Shows nothing more: the end could not be stored, or somebody else has ended the run. */
  lose(): void
}

export type OpenLog = RunKey & {
  fence: number
  /** The turn is no longer ours, or its events cannot be stored: the run must stop. */
  onLost(reason: unknown): void
}

export type ReplyLog = { open(options: OpenLog): RunLog }

type Flushable = {
  runId: string
  takeChunk(): ReturnType<typeof insertChunk>
  committed(touched: number): void
  failed(error: unknown): void
}

/**
 * Commits the events of all runs of this process before anyone sees them. While one commit is under way the next batch
 * gathers, so an event waits for one commit at most, and load makes the batches larger instead of the waits longer.
 */
export function createReplyLog(deps: { database: Database }): ReplyLog {
  const { database } = deps
  let dirty = new Set<Flushable>()
  let isFlushing = false

  function schedule(log: Flushable): void {
    dirty.add(log)
    if (isFlushing) return
    isFlushing = true
    // After this tick: what a provider sent in one piece is committed in one piece.
    queueMicrotask(flushAll)
  }

  async function flushAll(): Promise<void> {
    while (dirty.size > 0) {
      // In one order everywhere: two transactions that lock the same rows must not wait for each other.
      const logs = [...dirty].sort((a, b) => (a.runId < b.runId ? -1 : 1))
      dirty = new Set()
      try {
        const touched = await database.write(logs.map((log) => log.takeChunk()))
        logs.forEach((log, i) => {
          log.committed(touched[i] as number)
        })
      } catch (error) {
        for (const log of logs) log.failed(error)
      }
    }
    isFlushing = false
  }

  return {
    open({ fence, onLost, ...key }) {
      const texts: string[] = []
      const listeners = new Set<() => void>()
      let committed = 0
      /** Events that are in a batch under way end here; equal to `committed` when none is. */
      let underWay = 0
      let isSettled = false
      let end: RunEnd | null = null
      let isLost = false
      let onIdle: (() => void) | null = null

      function tell(): void {
        for (const listener of [...listeners]) listener()
      }

      function idle(): void {
        onIdle?.()
        onIdle = null
      }

      const flushable: Flushable = {
        runId: key.runId,
        takeChunk() {
          const fresh = texts.slice(committed)
          underWay = texts.length
          const eventLengths = encodeLengths(fresh.map((text) => text.length))
          return insertChunk(database, { ...key, fence, firstEvent: committed, text: fresh.join(''), eventLengths })
        },
        committed(touched) {
          if (touched === 0) {
            flushable.failed(new Error('the turn is held by somebody else'))
            return
          }
          committed = underWay
          tell()
          if (isSettled || committed === texts.length) idle()
          else schedule(flushable)
        },
        failed(error) {
          underWay = committed
          isSettled = true
          idle()
          onLost(error)
        },
      }

      return {
        texts,
        get committed() {
          return committed
        },
        get end() {
          return end
        },
        get isLost() {
          return isLost
        },
        watch(listener) {
          listeners.add(listener)
          return () => listeners.delete(listener)
        },
        append(text) {
          texts.push(text)
          if (!isSettled && underWay === committed) schedule(flushable)
        },
        settle() {
          isSettled = true
          dirty.delete(flushable)
          if (underWay === committed) return Promise.resolve()
          return new Promise((resolve) => {
            onIdle = resolve
          })
        },
        lose() {
          // What is not committed has not been shown, and must not be taken for said.
          texts.length = committed
          isLost = true
          tell()
        },
        close(ended) {
          committed = texts.length
          underWay = committed
          end = ended
          tell()
        },
      }
    },
  }
}

import type { Database } from '../../storage/database.ts'
import { encodeEvents } from './event-lengths.ts'
import { insertChunk } from './event-queries.ts'
import type { ReplyEvent } from './reply-event.ts'
import type { RunEnd, RunKey } from './run.ts'

/** What readers see of a run's events: those that are committed, and the end once there is one. */
export type ReplyView = {
  /** Only those below `committed` may be shown. */
  readonly events: readonly ReplyEvent[]
  readonly committed: number
  /** Set once everything is stored; then all events are committed. */
  readonly end: RunEnd | null
  /** This process cannot tell how it goes on: whoever reads should ask again. */
  readonly isLost: boolean
  /** Calls `listener` whenever there is something new; gives back how to stop that. */
  watch(listener: () => void): () => void
}

/** The events of one run under way. */
export type RunLog = ReplyView & {
  /** Adds an event. It is shown when it has been committed. */
  append(event: ReplyEvent): void
  /** Resolves when all events so far are committed, or never will be: the run is to stop then. */
  stored(): Promise<void>
  /** Stops committing events one by one, and resolves when none is under way: the end batch takes the rest. */
  settle(): Promise<void>
  /** Shows everything and the end. Only after the end batch is committed. */
  close(end: RunEnd): void
  /** Shows nothing more: the end could not be stored, or somebody else has ended the run. */
  lose(): void
}

export type OpenLog = RunKey & {
  fence: number
  /** What is committed of it already. */
  stored?: readonly ReplyEvent[]
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
    // When everything that has arrived by now has been read: what came together is committed together, and a reply that
    // came whole is left to the batch that ends it.
    setImmediate(flushAll)
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
    open({ fence, onLost, stored = [], ...key }) {
      const events: ReplyEvent[] = [...stored]
      const listeners = new Set<() => void>()
      let committed = events.length
      /** Events that are in a batch under way end here; equal to `committed` when none is. */
      let underWay = committed
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
          const { text, lengths: eventLengths } = encodeEvents(events.slice(committed))
          underWay = events.length
          return insertChunk(database, { ...key, fence, firstEvent: committed, text, eventLengths })
        },
        committed(touched) {
          if (touched === 0) {
            flushable.failed(new Error('the turn is held by somebody else'))
            return
          }
          committed = underWay
          tell()
          if (isSettled || committed === events.length) idle()
          else schedule(flushable)
        },
        failed(error) {
          underWay = committed
          isSettled = true
          idle()
          onLost(error)
          tell()
        },
      }

      return {
        events,
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
        append(event) {
          events.push(event)
          if (!isSettled && underWay === committed) schedule(flushable)
        },
        async stored() {
          const wanted = events.length
          while (committed < wanted && !isSettled) {
            await new Promise<void>((resolve) => {
              const once = () => {
                listeners.delete(once)
                resolve()
              }
              listeners.add(once)
            })
          }
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
          events.length = committed
          isLost = true
          tell()
        },
        close(ended) {
          committed = events.length
          underWay = committed
          end = ended
          tell()
        },
      }
    },
  }
}

import { setTimeout as wait } from 'node:timers/promises'
import { type Database, StorageError, WriteConflict } from '../../../storage/database.ts'
import type { RunEnd, RunKey } from '../run/run.ts'
import { encodeEvents } from './event-codec.ts'
import { insertChunk } from './event-queries.ts'
import type { ReplyEvent } from './reply-event.ts'

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
  /** The events that wait, as what stores them. They are under way until one of the three below is called. */
  takeChunk(): Chunk
  /** Whether what was taken is still to be written, now that there is another attempt; it is under way then. */
  takeAgain(): boolean
  committed(touched: number): void
  /** The database cannot be used: what was taken may have come through or not, and waits for another attempt. */
  held(): void
  failed(error: unknown): void
  /** Characters that are not committed. */
  pending(): number
}

type Chunk = ReturnType<typeof insertChunk>
type Taken = { log: Flushable; chunk: Chunk }
type Failed = Taken & { reason: StorageError }

/** Milliseconds between attempts to commit while the database cannot be used. */
const RETRY_MS = [50, 100, 200]
/** Characters of all runs that wait for the database at most. */
const MOST_HELD = 16 * 1024 ** 2

/**
 * Commits the events of all runs of this process before anyone sees them. While one commit is under way the next batch
 * gathers, so an event waits for one commit at most, and load makes the batches larger instead of the waits longer.
 *
 * A database that goes away is waited for, `patienceMs` and some memory long: its restart is a pause in the replies and not
 * their end. A batch that is refused is written run by run, so that one run's trouble is not that of the others.
 */
export function createReplyLog(deps: { database: Database; patienceMs: number }): ReplyLog {
  const { database, patienceMs } = deps
  let dirty = new Set<Flushable>()
  let isFlushing = false
  /** When the database could not be used for the first time since it last could. */
  let goneSince: number | null = null

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
      await store(logs.map((log) => ({ log, chunk: log.takeChunk() })))
    }
    isFlushing = false
  }

  /** Commits what was taken; again as long as the database cannot be used and there is patience left. */
  async function store(taken: readonly Taken[]): Promise<void> {
    let left = taken
    for (let attempt = 0; left.length > 0; attempt++) {
      const failed = await commit(left, attempt > 0)
      if (failed.length === 0) {
        goneSince = null
        return
      }
      goneSince ??= performance.now()
      for (const { log } of failed) log.held()
      const delay = RETRY_MS[Math.min(attempt, RETRY_MS.length - 1)] as number
      const isOver = performance.now() + delay > goneSince + patienceMs || waitingCharacters(failed) > MOST_HELD
      if (!isOver) await wait(delay)
      const wanted = failed.filter(({ log }) => log.takeAgain())
      left = isOver ? [] : wanted
      if (isOver) for (const { log, reason } of wanted) log.failed(reason)
    }
  }

  /** Commits all together or, when that is refused, run by run. Gives back those that the database was not there for. */
  async function commit(taken: readonly Taken[], isAgain: boolean): Promise<readonly Failed[]> {
    try {
      await write(taken)
      return []
    } catch (error) {
      if (error instanceof StorageError) return taken.map((one) => ({ ...one, reason: error }))
    }
    const left: Failed[] = []
    for (const one of taken) {
      try {
        await write([one])
      } catch (error) {
        if (error instanceof StorageError) left.push({ ...one, reason: error })
        // This very chunk stands there: the attempt before had come through, and only its answer was lost. It cannot be
        // somebody else's, because the statement writes nothing unless the turn is ours.
        else if (isAgain && error instanceof WriteConflict) one.log.committed(1)
        else one.log.failed(error)
      }
    }
    return left
  }

  async function write(taken: readonly Taken[]): Promise<void> {
    const touched = await database.write(taken.map(({ chunk }) => chunk))
    taken.forEach(({ log }, i) => {
      log.committed(touched[i] as number)
    })
  }

  function waitingCharacters(held: readonly Taken[]): number {
    const logs = new Set([...held.map(({ log }) => log), ...dirty])
    return [...logs].reduce((sum, log) => sum + log.pending(), 0)
  }

  return {
    open({ fence, onLost, stored = [], ...key }) {
      const events: ReplyEvent[] = [...stored]
      const listeners = new Set<() => void>()
      let committed = events.length
      /** Events that are in a batch under way end here; equal to `committed` when none is. */
      let underWay = committed
      let isHeld = false
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

      /** Nothing of it is under way any more. */
      function letGo(): void {
        underWay = committed
        isHeld = false
        idle()
      }

      const flushable: Flushable = {
        runId: key.runId,
        takeChunk() {
          const { text, lengths: eventLengths } = encodeEvents(events.slice(committed))
          underWay = events.length
          return insertChunk(database, { ...key, fence, firstEvent: committed, text, eventLengths })
        },
        takeAgain() {
          const isWanted = isHeld
          isHeld = false
          return isWanted
        },
        held() {
          // Who settles meanwhile does not wait: the end batch takes what is here.
          if (isSettled) letGo()
          else isHeld = true
        },
        pending: () => events.slice(committed).reduce((sum, event) => sum + lengthOf(event), 0),
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
          isSettled = true
          letGo()
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
          if (isHeld) {
            letGo()
            tell()
          }
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

function lengthOf(event: ReplyEvent): number {
  return typeof event === 'string' ? event.length : JSON.stringify(event).length
}

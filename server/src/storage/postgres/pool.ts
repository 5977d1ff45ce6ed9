import type pg from 'pg'
import { StorageError } from '../database.ts'
import type { Connection } from './connect.ts'

export type PostgresPool = {
  /** Takes over a connection that is open already. */
  add(client: pg.Client): void
  /** Resolves with a connection of one's own. Rejects when none can be opened, or none became free in time. */
  acquire(): Promise<pg.Client>
  /** Gives it back; a broken one is closed. */
  release(client: pg.Client, isBroken: boolean): void
  /** Closes all, and resolves when those in use have been given back too. */
  end(): Promise<void>
}

export type PoolOptions = {
  connect: () => Promise<Connection>
  /** Connections at most. */
  size: number
  /** Milliseconds that a request waits for a connection. */
  waitMs: number
  /** Milliseconds after which an unused connection is closed. */
  idleMs: number
  log: (message: string) => void
}

type Waiting = { resolve(client: pg.Client): void; reject(error: unknown): void; timer: NodeJS.Timeout }

/** Milliseconds until a server is asked again that has refused one more connection. */
const ASK_AGAIN_MS = 1_000
/** Milliseconds between lines of the log that say the same. */
const TELL_AGAIN_MS = 60_000

/**
 * Connections for whoever needs one, `size` at most and as many as the server grants: a role's limit, a server that is full
 * and a pooler that has no more all leave requests in line for those that there are. Only when there is none at all, and none
 * can be opened, does a request fail.
 */
export function createPostgresPool({ connect, size, waitMs, idleMs, log }: PoolOptions): PostgresPool {
  /** All that are open, in use or not. */
  const open = new Set<pg.Client>()
  /** The one given back last is taken first, so that those too many grow old. */
  const idle: { client: pg.Client; timer: NodeJS.Timeout }[] = []
  const waiting: Waiting[] = []
  let opening = 0
  let refusedUntil = 0
  let toldAt = -TELL_AGAIN_MS
  let onEmpty: (() => void) | null = null
  let isEnding = false

  function openMore(): void {
    const isRefused = open.size > 0 && performance.now() < refusedUntil
    while (!isEnding && !isRefused && opening < waiting.length && open.size + opening < size) void openOne()
  }

  async function openOne(): Promise<void> {
    opening++
    try {
      const { client } = await connect()
      opening--
      add(client)
    } catch (error) {
      opening--
      refused(error)
    }
    if (isEnding) settle()
  }

  function add(client: pg.Client): void {
    open.add(client)
    client.once('end', () => drop(client))
    client.on('error', (error) => {
      if (idle.some((item) => item.client === client)) log(`a database connection broke: ${error.message}`)
      drop(client)
    })
    handOn(client)
  }

  function refused(error: unknown): void {
    if (open.size > 0) {
      refusedUntil = performance.now() + ASK_AGAIN_MS
      tellOfFew(error)
      setTimeout(openMore, ASK_AGAIN_MS).unref()
    } else if (opening === 0) {
      for (const { reject, timer } of waiting.splice(0)) {
        clearTimeout(timer)
        reject(error)
      }
    }
  }

  function tellOfFew(error: unknown): void {
    if (performance.now() - toldAt < TELL_AGAIN_MS) return
    toldAt = performance.now()
    const reason = error instanceof Error ? error.message : String(error)
    log(`PostgreSQL grants ${open.size} of ${size} connections, requests wait for those: ${reason}`)
  }

  /** Gives a connection to who has waited longest, or keeps it for the next. */
  function handOn(client: pg.Client): void {
    if (isEnding) {
      close(client)
      return
    }
    const next = waiting.shift()
    if (!next) {
      idle.push({ client, timer: setTimeout(() => close(client), idleMs) })
      return
    }
    clearTimeout(next.timer)
    next.resolve(client)
  }

  /** Forgets one that is gone; whoever still uses it learns of that by its queries. */
  function drop(client: pg.Client): void {
    if (!open.delete(client)) return
    const at = idle.findIndex((item) => item.client === client)
    if (at >= 0) clearTimeout(idle.splice(at, 1)[0]?.timer)
    openMore()
    if (isEnding) settle()
  }

  function close(client: pg.Client): void {
    void client.end().catch(() => {})
    drop(client)
  }

  function settle(): void {
    if (open.size === 0 && opening === 0) onEmpty?.()
  }

  return {
    add,

    acquire() {
      if (isEnding) return Promise.reject(new StorageError('the database is closed'))
      const kept = idle.pop()
      if (kept) {
        clearTimeout(kept.timer)
        return Promise.resolve(kept.client)
      }
      return new Promise((resolve, reject) => {
        const timer = setTimeout(() => {
          waiting.splice(waiting.indexOf(item), 1)
          reject(new StorageError(`none of ${open.size} connections to PostgreSQL became free in ${waitMs} ms`))
        }, waitMs)
        const item: Waiting = { resolve, reject, timer }
        waiting.push(item)
        openMore()
      })
    },

    release(client, isBroken) {
      if (isBroken) close(client)
      else if (open.has(client)) handOn(client)
    },

    async end() {
      isEnding = true
      for (const { reject, timer } of waiting.splice(0)) {
        clearTimeout(timer)
        reject(new StorageError('the database is closed'))
      }
      const empty = new Promise<void>((resolve) => {
        onEmpty = resolve
      })
      for (const { client } of [...idle]) close(client)
      settle()
      await empty
    },
  }
}

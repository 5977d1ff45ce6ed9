import { Worker } from 'node:worker_threads'
import { threadEnvironment } from '../../lib/process/thread-environment.ts'
import { type SqlValue, type Statement, StorageError, WriteConflict } from '../database.ts'
import { CLOSE, createBatchWriter } from './batches.ts'
import { explainSqliteError } from './errors.ts'

type Failure = { message: string; errcode: number | undefined }

/** What became of batches. */
export type WriteOutcomes = {
  /** Of each that was written its id, how many statements it had, and how many rows each touched. */
  touched: number[]
  refused: { id: number; conflict?: string; failure?: Failure }[]
}
export type ReadRequest = { id: number; sql: string; parameters: readonly SqlValue[] }
export type ReadOutcome = { id: number; rows?: unknown[]; failure?: Failure }

type Waiting<T> = { resolve: (value: T) => void; reject: (error: Error) => void }

/**
 * Starts the writer thread of a file. What is written before it is ready waits for it: some 50 ms. `onFailure` is told why
 * a batch could not be written, other than for a conflict.
 */
export function connectWriter(file: string, onFailure: (error: Error) => void) {
  const thread = startThread<number[]>('./writer.ts', file)
  const pending = createBatchWriter()

  thread.worker.on('message', ({ touched, refused }: WriteOutcomes) => {
    for (let at = 0; at < touched.length; ) {
      const end = at + 2 + (touched[at + 1] as number)
      thread.settle(touched[at] as number)?.resolve(touched.slice(at + 2, end))
      at = end
    }
    for (const { id, conflict, failure } of refused) {
      const error = conflict === undefined ? revive(failure, file) : new WriteConflict(conflict)
      if (conflict === undefined) onFailure(error)
      thread.settle(id)?.reject(error)
    }
  })

  function request(add: (id: number) => void): Promise<number[]> {
    return thread.wait((id) => {
      // What is written before the event loop comes round crosses in one message, and is committed together.
      if (pending.isEmpty()) setImmediate(() => thread.worker.postMessage(pending.take()))
      add(id)
    })
  }

  return {
    write(batch: readonly Statement[]): Promise<number[]> {
      // One that cannot cross would take the batches of all others with it that cross in the same message.
      if (!batch.every(({ parameters }) => parameters.every(canCross))) {
        return Promise.reject(new TypeError('a parameter of a statement is no value of a database'))
      }
      return request((id) => pending.add(id, batch))
    },
    /**
     * Empties the write-ahead log, and rewrites the file: false if that is too large. Fails while another process keeps
     * reading an old state.
     */
    scrub: async (): Promise<boolean> => (await request((id) => pending.addScrub(id)))[0] === 1,
    close: () => thread.close(),
  }
}

function canCross(value: unknown): boolean {
  return typeof value !== 'function' && typeof value !== 'symbol' && (typeof value !== 'object' || isStorable(value))
}

function isStorable(value: object | null): boolean {
  return value === null || ArrayBuffer.isView(value)
}

/** Milliseconds that what is under way has when the database is closed. */
const CLOSING_MS = 30_000

/** Starts a thread for long reads of a file. */
export function connectReader(file: string) {
  const thread = startThread<unknown[]>('./reader.ts', file)
  thread.worker.on('message', ({ id, rows, failure }: ReadOutcome) => {
    if (rows) thread.settle(id)?.resolve(rows)
    else thread.settle(id)?.reject(revive(failure, file))
  })
  return {
    read: (sql: string, parameters: readonly SqlValue[]) =>
      thread.wait((id) => thread.worker.postMessage({ id, sql, parameters } satisfies ReadRequest)),
    close: () => thread.close(),
  }
}

function startThread<T>(script: string, file: string) {
  const worker = new Worker(new URL(script, import.meta.url), { workerData: { file }, env: threadEnvironment() })
  const waiting = new Map<number, Waiting<T>>()
  let lastId = 0
  /** Why nothing can be asked of it any more. */
  let ended: StorageError | null = null

  function failAll(error: StorageError) {
    ended ??= error
    for (const { reject } of waiting.values()) reject(error)
    waiting.clear()
  }
  worker.on('error', (error) =>
    failAll(new StorageError(`the database thread failed: ${error.message}`, { cause: error })),
  )
  worker.on('exit', () => failAll(new StorageError('the database is closed')))

  return {
    worker,
    wait(send: (id: number) => void): Promise<T> {
      if (ended) return Promise.reject(ended)
      return new Promise<T>((resolve, reject) => {
        const id = ++lastId
        waiting.set(id, { resolve, reject })
        send(id)
      })
    },
    settle(id: number): Waiting<T> | undefined {
      const waiter = waiting.get(id)
      waiting.delete(id)
      return waiter
    },
    /** Waits for what is under way, then ends the thread. */
    async close() {
      if (ended) return
      for (const until = Date.now() + CLOSING_MS; waiting.size > 0 && Date.now() < until; ) {
        await new Promise((resolve) => setTimeout(resolve, 5))
      }
      ended = new StorageError('the database is closed')
      const exited = new Promise((resolve) => worker.once('exit', resolve))
      worker.postMessage(CLOSE)
      await exited
    },
  }
}

function revive(failure: Failure | undefined, file: string): Error {
  const error = Object.assign(new Error(failure?.message ?? 'unknown'), { errcode: failure?.errcode })
  return explainSqliteError(error, file)
}

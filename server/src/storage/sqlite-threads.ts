import { Worker } from 'node:worker_threads'
import { type SqlValue, type Statement, StorageError, WriteConflict } from './database.ts'
import { explainSqliteError } from './sqlite-errors.ts'

type Failure = { message: string; errcode: number | undefined }

/** In the place of a batch: rewrite the file, so that nothing is left in it of what was deleted. */
export const SCRUB = 'scrub'

export type WriteRequest = { id: number; batch: readonly Statement[] | typeof SCRUB }
export type BatchOutcome = { id: number; touched?: number[]; conflict?: string; failure?: Failure }
export type ReadRequest = { id: number; sql: string; parameters: readonly SqlValue[] }
export type ReadOutcome = { id: number; rows?: unknown[]; failure?: Failure }

/** Asks a thread to close its connection and end. It is only sent when nothing is under way. */
export const CLOSE = 'close'

type Waiting<T> = { resolve: (value: T) => void; reject: (error: Error) => void }

/** Starts the writer thread of a file; resolves when it is ready. */
export async function connectWriter(file: string) {
  const thread = startThread<number[]>('./sqlite-writer.ts', file)
  let pending: WriteRequest[] = []
  await new Promise<void>((resolve, reject) => {
    thread.worker.once('message', () => resolve())
    thread.worker.once('error', reject)
  })

  thread.worker.on('message', (outcomes: BatchOutcome[]) => {
    for (const { id, touched, conflict, failure } of outcomes) {
      if (touched) thread.settle(id)?.resolve(touched)
      else if (conflict !== undefined) thread.settle(id)?.reject(new WriteConflict(conflict))
      else thread.settle(id)?.reject(revive(failure, file))
    }
  })

  function post() {
    thread.worker.postMessage(pending)
    pending = []
  }

  function request(batch: WriteRequest['batch']): Promise<number[]> {
    return thread.wait((id) => {
      // What is written within one tick crosses to the thread in one message.
      if (pending.length === 0) queueMicrotask(post)
      pending.push({ id, batch })
    })
  }

  return {
    write: (batch: readonly Statement[]): Promise<number[]> => request(batch),
    /**
     * Empties the write-ahead log, and rewrites the file: false if that is too large. Fails while another process keeps
     * reading an old state.
     */
    scrub: async (): Promise<boolean> => (await request(SCRUB))[0] === 1,
    close: () => thread.close(),
  }
}

/** Starts a thread for long reads of a file. */
export function connectReader(file: string) {
  const thread = startThread<unknown[]>('./sqlite-reader.ts', file)
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
  const worker = new Worker(new URL(script, import.meta.url), { workerData: { file } })
  const waiting = new Map<number, Waiting<T>>()
  let lastId = 0
  let isClosed = false

  function failAll(error: Error) {
    isClosed = true
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
      if (isClosed) return Promise.reject(new StorageError('the database is closed'))
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
      if (isClosed) return
      while (waiting.size > 0) await new Promise((resolve) => setTimeout(resolve, 5))
      isClosed = true
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

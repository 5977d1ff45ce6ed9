import { flushCompileCache } from 'node:module'
import { DatabaseSync } from 'node:sqlite'
import { type MessagePort, parentPort, workerData } from 'node:worker_threads'
import { CLOSE } from './batches.ts'
import { sqliteCode } from './errors.ts'
import type { ReadOutcome, ReadRequest } from './threads.ts'

/** The thread for long reads: a list or a report may take its time here without holding up a stream. */
function serve(port: MessagePort, file: string): void {
  const connection = new DatabaseSync(file, { readOnly: true, timeout: 5_000 })
  port.on('message', (request: ReadRequest | typeof CLOSE) => {
    if (request === CLOSE) {
      connection.close()
      port.close()
      return
    }
    const { id, sql, parameters } = request
    let outcome: ReadOutcome
    try {
      outcome = { id, rows: connection.prepare(sql).all(...parameters) }
    } catch (error) {
      outcome = { id, failure: { message: String((error as Error).message), errcode: sqliteCode(error) } }
    }
    port.postMessage(outcome)
  })
}

if (parentPort) {
  // A report has a part for each thread, and in each the environment of the whole process, with every key.
  process.report.excludeEnv = true
  serve(parentPort, (workerData as { file: string }).file)
  // For the next start, should this process be killed.
  flushCompileCache()
}

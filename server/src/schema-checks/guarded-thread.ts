import { Worker } from 'node:worker_threads'
import { threadEnvironment } from '../lib/process/thread-environment.ts'
import type { SchemaJob, SchemaOutcome, ThreadMessage } from './schema-thread.ts'

/** Megabytes. The stack is as large as Node's own. */
const RESOURCES = { maxOldGenerationSizeMb: 128, maxYoungGenerationSizeMb: 16, codeRangeSizeMb: 32 }
/** Milliseconds that a thread may take to begin: it loads Ajv, on a machine that may be busy. */
const START_MS = 30_000

/** `stopped`: it took too long or too much memory, at the schema with that number. */
export type GuardedOutcome = SchemaOutcome | { stopped: true; at: number }

type Running = { worker: Worker; isReady: boolean }

/**
 * A thread for one job at a time. It begins with the first, is killed when a job takes longer than `timeLimitMs` or more
 * memory than it may have, and begins again with the next. After `idleMs` without one it ends. It does not keep the
 * process alive.
 */
export function createGuardedThread({ timeLimitMs, idleMs }: { timeLimitMs: number; idleMs: number }) {
  let running: Running | null = null
  let idle: NodeJS.Timeout | undefined

  function end(): void {
    clearTimeout(idle)
    void running?.worker.terminate()
    running = null
  }

  function start(): Running {
    const worker = new Worker(new URL('./schema-thread.ts', import.meta.url), {
      env: threadEnvironment(),
      resourceLimits: RESOURCES,
    })
    worker.unref()
    return { worker, isReady: false }
  }

  /** Rejects when the thread cannot begin. */
  function run(job: SchemaJob): Promise<GuardedOutcome> {
    clearTimeout(idle)
    running ??= start()
    const thread = running
    const { worker } = thread
    let at = 0
    return new Promise<GuardedOutcome>((resolve, reject) => {
      let timer: NodeJS.Timeout | undefined

      function settle(outcome: GuardedOutcome | Error): void {
        clearTimeout(timer)
        worker.off('message', onMessage).off('error', onEnd).off('exit', onEnd)
        if (outcome instanceof Error || 'stopped' in outcome) {
          // What comes of a thread that is being killed is nobody's business any more.
          worker.on('error', () => {})
          end()
        } else idle = setTimeout(end, idleMs).unref()
        if (outcome instanceof Error) reject(outcome)
        else resolve(outcome)
      }

      function onMessage(message: ThreadMessage): void {
        if (message === 'ready') {
          thread.isReady = true
          begin()
        } else if ('at' in message) at = message.at
        else settle(message)
      }

      function onEnd(cause: unknown): void {
        settle(thread.isReady ? { stopped: true, at } : new Error('the thread for schemas cannot begin', { cause }))
      }

      function begin(): void {
        clearTimeout(timer)
        // If it was this thread that was late, the answer is there already, and is read before the second look.
        timer = setTimeout(() => setImmediate(() => setImmediate(onEnd)), timeLimitMs)
        worker.postMessage(job)
      }

      worker.on('message', onMessage).on('error', onEnd).on('exit', onEnd)
      if (thread.isReady) begin()
      else timer = setTimeout(onEnd, START_MS)
    })
  }

  return { run, end, isRunning: () => running !== null }
}

import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import type { Job, Measured, Report } from './load/jobs.ts'
import type { Wire } from './wire/call.ts'

export type LoadEvents = { onMeasuring?: () => void; onSlice?: (slice: Measured) => void }

export type LoadProcess = {
  /** Rejects when the job could not be done; a measured error is part of the result. */
  do(job: Job, events?: LoadEvents): Promise<Measured>
  stop(): Promise<void>
}

/** Starts load.ts in a process of its own, for one server. */
export function startLoad(wire: Wire): LoadProcess {
  const child = fork(join(import.meta.dirname, 'load.ts'), [JSON.stringify(wire)])
  const ended = once(child, 'exit')
  let nextId = 0
  return {
    do(job, events = {}) {
      const id = nextId++
      return new Promise((resolve, reject) => {
        const listen = (report: Report) => {
          if (report.id !== id) return
          if ('event' in report) {
            if (report.event === 'slice') events.onSlice?.(report.slice)
            else events.onMeasuring?.()
            return
          }
          child.off('message', listen)
          if ('result' in report) resolve(report.result)
          else reject(new Error(report.error))
        }
        child.on('message', listen)
        void ended.then(([code]) => reject(new Error(`the load generator has ended with ${code}`)))
        child.send({ id, job })
      })
    },
    async stop() {
      if (child.connected) child.disconnect()
      await ended
    },
  }
}

import { monitorEventLoopDelay } from 'node:perf_hooks'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { AppError } from '../../errors.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Begins something that goes on for a while: refused while the process cannot keep up with what it has. */
    isNewWork?: boolean
    /** Reads and prints so much that it is refused then as well; by the request, where only some of a route do. */
    isCostly?: boolean | ((request: FastifyRequest) => boolean)
  }
}

/** Milliseconds between samples; a delay is what a sample comes later than that. */
const RESOLUTION_MS = 20
/** Milliseconds over which delays are gathered, and for which the verdict counts. */
const WINDOW_MS = 1_000

export type LoadWatch = {
  isBehind(): boolean
  /** Does work that stops everything for a moment, without taking that for a delay. */
  excuse(work: () => void): void
  stop(): void
}

/**
 * Watches how late the event loop is: behind when in the last second the 99th percentile of its delays was above
 * `limitMs`. A timer looks once a second, so that asking costs nothing. 0 is never behind.
 */
export function watchLoad(limitMs: number): LoadWatch {
  if (limitMs === 0) return { isBehind: () => false, excuse: (work) => work(), stop: () => {} }
  const delays = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
  let isBehind = false
  let isWarm = false
  delays.enable()
  const timer = setInterval(() => {
    // The first second is that of starting, which is late for reasons of its own.
    isBehind = isWarm && delays.percentile(99) / 1e6 - RESOLUTION_MS > limitMs
    isWarm = true
    delays.reset()
  }, WINDOW_MS)
  timer.unref()
  return {
    isBehind: () => isBehind,
    excuse(work) {
      work()
      // The next sample begins anew.
      delays.reset()
    },
    stop() {
      clearInterval(timer)
      delays.disable()
    },
  }
}

/**
 * Refuses new work (`config.isNewWork`) before its body is read, and long reads (`config.isCostly`), as long as
 * `isBehind`: what is under way gets the time instead. Short reads, cancelling and looking after the server go on.
 */
export function shedLoad(app: FastifyInstance, load: Pick<LoadWatch, 'isBehind'>): void {
  app.addHook('onRequest', (request, _reply, done) => {
    if (!load.isBehind() || !isSheddable(request)) return done()
    const message = 'the server has more to do than it can keep up with'
    done(new AppError('unavailable', message, { refusedBy: 'event_loop_delay', retryAfterMs: WINDOW_MS }))
  })
}

function isSheddable(request: FastifyRequest): boolean {
  const { isNewWork, isCostly } = request.routeOptions.config
  return isNewWork === true || (typeof isCostly === 'function' ? isCostly(request) : isCostly === true)
}

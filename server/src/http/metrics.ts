import { createRequire } from 'node:module'
import type { FastifyInstance } from 'fastify'
import type * as Prometheus from 'prom-client'

const require = createRequire(import.meta.url)

// Taken by their paths: the index loads what watches the process too, and with that all of OpenTelemetry's API.
const Registry: typeof Prometheus.Registry = require('prom-client/lib/registry')
const Counter: typeof Prometheus.Counter = require('prom-client/lib/counter')
const Gauge: typeof Prometheus.Gauge = require('prom-client/lib/gauge')
const Histogram: typeof Prometheus.Histogram = require('prom-client/lib/histogram')

const SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120]

/** An exception out of a callback, or a promise that nobody waits for. */
export type UnhandledKind = 'exception' | 'rejection'

export type Metrics = ReturnType<typeof createMetrics>

/**
 * What `/metrics` shows, in Prometheus' text format. Ours count from the start; garbage collections and delays of the
 * event loop are watched from the first time on that somebody looks: that costs 60 files, and a timer of 10 ms.
 */
export function createMetrics(sources: {
  runningTurns: () => number
  waitingTurns: () => number
  openRequests: () => number
  connections: () => number
}) {
  const registry = new Registry()
  const registers = [registry]
  let watching: Promise<void> | null = null

  const requests = new Histogram({
    name: 'dramatis_http_request_seconds',
    help: 'Time from the request to the end of its answer.',
    labelNames: ['method', 'route', 'status'],
    buckets: SECONDS,
    registers,
  })
  const refused = new Counter({
    name: 'dramatis_refused_requests_total',
    help: 'Requests that a limit has refused.',
    labelNames: ['reason'],
    registers,
  })
  const refusedConnections = new Counter({
    name: 'dramatis_refused_connections_total',
    help: 'Connections that were closed at once because there were too many.',
    labelNames: ['reason'],
    registers,
  })
  const turns = new Counter({
    name: 'dramatis_turns_total',
    help: 'Turns that have ended.',
    labelNames: ['ai_system', 'status'],
    registers,
  })
  const tokens = new Counter({
    name: 'dramatis_tokens_total',
    help: 'Tokens of turns that have ended, and of summaries and titles.',
    labelNames: ['ai_system', 'kind'],
    registers,
  })
  const firstToken = new Histogram({
    name: 'dramatis_first_token_seconds',
    help: 'Time from accepting a turn to the first text of the model.',
    labelNames: ['ai_system'],
    buckets: SECONDS,
    registers,
  })
  const turnDuration = new Histogram({
    name: 'dramatis_turn_seconds',
    help: 'Time from accepting a turn to its end being stored.',
    labelNames: ['ai_system'],
    buckets: SECONDS,
    registers,
  })
  const unhandled = new Counter({
    name: 'dramatis_unhandled_errors_total',
    help: 'Errors that nobody has handled: each is a fault of the server.',
    labelNames: ['kind'],
    registers,
  })
  new Gauge({
    name: 'dramatis_running_turns',
    help: 'Turns that this process is executing.',
    registers,
    collect() {
      this.set(sources.runningTurns())
    },
  })

  new Gauge({
    name: 'dramatis_waiting_turns',
    help: 'Turns that wait for an approval and have given their place to others.',
    registers,
    collect() {
      this.set(sources.waitingTurns())
    },
  })
  new Gauge({
    name: 'dramatis_open_requests',
    help: 'Requests that are open and may last: turns, readers of events, exports.',
    registers,
    collect() {
      this.set(sources.openRequests())
    },
  })
  new Gauge({
    name: 'dramatis_connections',
    help: 'Connections that are open.',
    registers,
    collect() {
      this.set(sources.connections())
    },
  })

  function countTokens(used: { aiSystem: string; promptTokens: number; completionTokens: number }): void {
    tokens.inc({ ai_system: used.aiSystem, kind: 'prompt' }, used.promptTokens)
    tokens.inc({ ai_system: used.aiSystem, kind: 'completion' }, used.completionTokens)
  }

  return {
    countTokens,
    countRefusedConnection: (reason: string): void => refusedConnections.inc({ reason }),
    countUnhandled: (kind: UnhandledKind): void => unhandled.inc({ kind }),
    observeRequests(app: FastifyInstance): void {
      app.addHook('onResponse', (request, reply, done) => {
        // The pattern and not the path: ids would make a series of each conversation.
        const route = request.routeOptions.url ?? 'unknown'
        requests.observe({ method: request.method, route, status: reply.statusCode }, reply.elapsedTime / 1_000)
        if (request.refusedBy) refused.inc({ reason: request.refusedBy })
        done()
      })
    },
    turnEnded(turn: {
      aiSystem: string
      status: string
      promptTokens: number
      completionTokens: number
      durationMs: number
      firstTokenMs: number | null
    }): void {
      const { aiSystem: ai_system, status } = turn
      turns.inc({ ai_system, status })
      countTokens(turn)
      turnDuration.observe({ ai_system }, turn.durationMs / 1_000)
      if (turn.firstTokenMs !== null) firstToken.observe({ ai_system }, turn.firstTokenMs / 1_000)
    },
    contentType: registry.contentType,
    async print(): Promise<string> {
      watching ??= import('prom-client').then(({ collectDefaultMetrics }) =>
        collectDefaultMetrics({ register: registry }),
      )
      await watching
      return registry.metrics()
    },
  }
}

import type { FastifyInstance } from 'fastify'
import { trackConnections } from './connections/open-connections.ts'
import { PATIENCE, type Patience } from './connections/patience.ts'
import { watchReaders } from './connections/stalled-readers.ts'
import { limitOpenRequests } from './limits/open-requests.ts'
import { shedLoad, watchLoad } from './limits/overload.ts'
import { limitRequests } from './limits/rate-limit.ts'
import type { Metrics } from './metrics.ts'
import { createHttpServer, type HttpOptions } from './server.ts'

/** Requests that may be open for each turn that may be under way. */
const OPEN_A_TURN = 5

export type HttpSide = Awaited<ReturnType<typeof openHttp>>

/** The HTTP server with all that bounds what comes in. Routes are registered afterwards. */
export async function openHttp(
  options: Omit<HttpOptions, 'patience'> & {
    patience?: Patience
    metrics: Metrics
    /** Milliseconds that the event loop may be late before work is refused; 0 for no limit. */
    shedDelayMs: number
    /** Turns that may be under way. */
    turns: { perKey: number; inAll: number }
    /** Whether there is more than one organization. */
    isShared: () => boolean
    /** Of one key; 0 for no limit. */
    requestsPerMinute: number
    connections: Parameters<typeof trackConnections>[1]
    /** What has to be there before requests are counted. */
    beforeLimits: (app: FastifyInstance) => void
  },
) {
  const { metrics, turns, isShared, patience = PATIENCE } = options
  const app = await createHttpServer({ ...options, patience })
  metrics.observeRequests(app)
  const load = watchLoad(options.shedDelayMs)
  shedLoad(app, load)
  options.beforeLimits(app)
  const openRequests = limitOpenRequests(app, {
    perKey: OPEN_A_TURN * turns.perKey,
    inAll: OPEN_A_TURN * turns.inAll,
    isShared,
  })
  limitRequests(app, {
    perMinute: options.requestsPerMinute,
    now: () => performance.now(),
    isReplay: (request) => request.isReplay,
  })
  const connections = trackConnections(app.server, options.connections, metrics.countRefusedConnection)
  const readers = watchReaders(app.server, patience)
  return {
    app,
    openRequests: openRequests.count,
    connections: connections.count,
    /** Does work that stops everything for a moment; nobody is refused for it. */
    pause: load.excuse,
    /** Ends what is still open; `closed` is the promise that the server is. */
    async destroy(closed: Promise<unknown>): Promise<void> {
      connections.destroy()
      readers.stop()
      await closed
      load.stop()
    },
  }
}

import { setTimeout as wait } from 'node:timers/promises'
import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import type { Config } from './config.ts'
import { apiKeyRoutes } from './features/api-keys/api-key-routes.ts'
import { createApiKeyService } from './features/api-keys/api-key-service.ts'
import { conversationRoutes } from './features/conversations/conversation-routes.ts'
import { createConversationService } from './features/conversations/conversation-service.ts'
import { createConversationTurns } from './features/conversations/conversation-turns.ts'
import { showAgain } from './features/conversations/show-again.ts'
import { createConversationStarter } from './features/conversations/start-conversation.ts'
import { createFeedbackService } from './features/feedback/feedback-service.ts'
import { answerOnce } from './features/idempotency/idempotency-hooks.ts'
import { createIdempotencyService, keepClaims } from './features/idempotency/idempotency-service.ts'
import { createOrganizationService } from './features/organizations/organization-service.ts'
import { personaRoutes } from './features/personas/persona-routes.ts'
import { createPersonaService } from './features/personas/persona-service.ts'
import { createRoutes } from './features/turns/create-routes.ts'
import { modelRoutes } from './features/turns/model-routes.ts'
import { createRecovery } from './features/turns/recovery.ts'
import { createReplyLog } from './features/turns/reply-log.ts'
import { runRoutes } from './features/turns/run-routes.ts'
import { createTokenBudgets } from './features/turns/token-budget.ts'
import { createTurnAcceptance } from './features/turns/turn-acceptance.ts'
import { createTurnLimits } from './features/turns/turn-limits.ts'
import { turnRoutes } from './features/turns/turn-routes.ts'
import { createTurnRunner } from './features/turns/turn-runner.ts'
import { createTurnService } from './features/turns/turn-service.ts'
import { keepTurns } from './features/turns/turn-upkeep.ts'
import { createWaitingLine } from './features/turns/waiting-line.ts'
import { trackConnections } from './http/connections.ts'
import { createMetrics } from './http/metrics.ts'
import { documentRoutes } from './http/openapi.ts'
import { shedNewWork, watchLoad } from './http/overload.ts'
import { limitRequests } from './http/rate-limit.ts'
import { createHttpServer } from './http/server.ts'
import { systemRoutes } from './http/system-routes.ts'
import { systemClock } from './lib/clock.ts'
import { createIdSource } from './lib/ids.ts'
import { parseAiSystem } from './models/ai-systems.ts'
import { createModelRegistry } from './models/registry.ts'
import { createResilience } from './models/resilience.ts'
import type { Database } from './storage/database.ts'
import { openDatabase } from './storage/open-database.ts'
import { withRiders } from './storage/riders.ts'

export const VERSION = '0.1.0'

/** Milliseconds that readers have to take what has been written when the server stops. */
const FLUSH_MS = 1_000

export type Services = ReturnType<typeof createServices>

/** What both the server and the command line work with, on an open database. */
export function createServices(database: Database) {
  const ids = createIdSource(systemClock)
  const shared = { database, ids, clock: systemClock }
  const organizations = createOrganizationService(shared)
  return {
    ...shared,
    organizations,
    apiKeys: createApiKeyService(shared),
    personas: createPersonaService({ ...shared, organizations }),
  }
}

export type App = {
  http: FastifyInstance
  services: Services
  /** The AI system that is used when nothing is named, and why. */
  describeDefaultModel: () => Promise<string>
  /** Stops taking requests, gives running turns their time, stores what is left of the rest, closes the database. */
  close(): Promise<void>
}

/** Puts the server together: the only place that knows every part. Throws `StorageError` when the database cannot be opened. */
export async function createApp(config: Config, log: FastifyBaseLogger): Promise<App> {
  const { database, ride } = withRiders(
    await openDatabase(config.database, { asServer: true, log: (message) => log.info(message) }),
  )
  const services = createServices(database)
  const { ids, clock, organizations, personas, apiKeys } = services
  const shared = { database, ids, clock }
  const nodeId = ids.next()

  const registry = createModelRegistry({ settings: config.providers, clock })
  const feedback = createFeedbackService(shared)
  const conversations = createConversationService({ ...shared, organizations, feedback })
  const conversationTurns = createConversationTurns({ database })
  const starter = createConversationStarter({
    ...shared,
    personas,
    resolveModel: async (aiSystem, model) => registry.resolve(parseAiSystem(aiSystem) ?? 'default', model),
  })

  const metrics = createMetrics({ runningTurns: () => runner.count() })
  // A SQLite file has one server, so whatever another node has begun there was begun by one that is gone.
  const isAlone = config.database.kind === 'sqlite'
  const node = { nodeId, leaseMs: config.leaseMs, isAlone }
  const line = createWaitingLine({ ...shared, ...node, lookAgainMs: isAlone ? 1_000 : 100 })
  const runner = createTurnRunner({
    ...shared,
    ...{ log, line },
    conversations: conversationTurns,
    replyLog: createReplyLog({ database }),
    models: createResilience({ registry, clock }),
    onEnded: ({ end, ...turn }) => metrics.turnEnded({ ...turn, ...end.usage, status: end.status }),
  })
  const limits = createTurnLimits({ perKey: config.limits.runningTurnsPerKey, inAll: config.limits.runningTurns })
  const budgets = createTokenBudgets(shared)
  const acceptance = createTurnAcceptance({ ...shared, ...node, conversations: conversationTurns, limits, budgets })
  const turns = createTurnService({
    ...{ database, clock, acceptance, runner, conversations, conversationTurns, organizations },
  })

  const recovery = createRecovery({ ...shared, ...node, log, runner, limits, conversations: conversationTurns })
  const recovered = await recovery.sweep()
  if (recovered.ended + recovered.restarted > 0) log.warn(recovered, 'took care of runs that their server had left')
  const upkeep = keepTurns({ database, clock, ...node, runner, recovery, log })
  const idempotency = createIdempotencyService({ database, clock })
  const sweeper = keepClaims({ database, clock, log })

  let isDraining = false
  const http = await createHttpServer({
    log,
    authenticate: apiKeys.authenticate,
    nextRequestId: ids.next,
    bodyLimit: config.bodyLimit,
    corsOrigins: config.corsOrigins,
    tls: config.tls,
  })
  metrics.observeRequests(http)
  const load = watchLoad(config.limits.shedDelayMs)
  shedNewWork(http, load)
  answerOnce(http, { idempotency, ride, showAgain: (...answer) => showAgain(conversations, ...answer) })
  limitRequests(http, {
    perMinute: config.limits.requestsPerMinute,
    now: () => performance.now(),
    isReplay: (request) => request.isReplay,
  })
  const connections = trackConnections(http.server)
  await documentRoutes(http, VERSION)
  await http.register(
    systemRoutes({
      metrics,
      metricsArePublic: config.metricsArePublic,
      findObstacle: async () => {
        if (isDraining) return 'the server is stopping'
        await organizations.first()
        return null
      },
    }),
  )
  await http.register(apiKeyRoutes(apiKeys))
  await http.register(personaRoutes(personas))
  await http.register(conversationRoutes(conversations))
  await http.register(createRoutes({ database, starter, turns, runner, conversations }))
  await http.register(turnRoutes({ turns, runner }))
  await http.register(runRoutes(turns))
  await http.register(modelRoutes(registry))
  await http.ready()

  return {
    http,
    services,
    describeDefaultModel: async () => (await registry.resolveDefault()).why,
    async close() {
      isDraining = true
      limits.close()
      await upkeep.stopSweeping()
      const closed = http.close()
      await runner.drain(config.shutdownGraceMs)
      // Every reply is stored and written by now; what still waits is a reader that does not read, or never wrote.
      await Promise.race([closed, wait(FLUSH_MS)])
      connections.destroy()
      await closed
      load.stop()
      await Promise.all([upkeep.stop(), sweeper.stop()])
      await registry.close()
      await database.close()
    },
  }
}

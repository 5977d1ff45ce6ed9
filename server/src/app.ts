import { setTimeout as wait } from 'node:timers/promises'
import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import type { Config } from './config.ts'
import { apiKeyRoutes } from './features/api-keys/api-key-routes.ts'
import { createApiKeyService } from './features/api-keys/api-key-service.ts'
import { conversationRoutes } from './features/conversations/conversation-routes.ts'
import { createConversationService } from './features/conversations/conversation-service.ts'
import { createConversationTurns } from './features/conversations/conversation-turns.ts'
import { createConversationStarter } from './features/conversations/start-conversation.ts'
import { createFeedbackService } from './features/feedback/feedback-service.ts'
import { createOrganizationService } from './features/organizations/organization-service.ts'
import { personaRoutes } from './features/personas/persona-routes.ts'
import { createPersonaService } from './features/personas/persona-service.ts'
import { createRoutes } from './features/turns/create-routes.ts'
import { modelRoutes } from './features/turns/model-routes.ts'
import { recoverTurns } from './features/turns/recovery.ts'
import { createReplyLog } from './features/turns/reply-log.ts'
import { createTurnAcceptance } from './features/turns/turn-acceptance.ts'
import { turnRoutes } from './features/turns/turn-routes.ts'
import { createTurnRunner } from './features/turns/turn-runner.ts'
import { createTurnService } from './features/turns/turn-service.ts'
import { trackConnections } from './http/connections.ts'
import { createMetrics } from './http/metrics.ts'
import { documentRoutes } from './http/openapi.ts'
import { createHttpServer } from './http/server.ts'
import { systemRoutes } from './http/system-routes.ts'
import { systemClock } from './lib/clock.ts'
import { createIdSource } from './lib/ids.ts'
import { parseAiSystem } from './models/ai-systems.ts'
import { createModelRegistry } from './models/registry.ts'
import { createResilience } from './models/resilience.ts'
import type { Database } from './storage/database.ts'
import { openDatabase } from './storage/open-database.ts'

export const VERSION = '0.1.0'

/** Milliseconds that readers have to take what has been written when the server stops. */
const FLUSH_MS = 1_000

/** Milliseconds for which a node holds a turn without renewing it. */
const LEASE_MS = 30_000

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
  const database = await openDatabase(config.database, { asServer: true, log: (message) => log.info(message) })
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
  const runner = createTurnRunner({
    ...shared,
    log,
    conversations: conversationTurns,
    replyLog: createReplyLog({ database }),
    models: createResilience({ registry, clock }),
    onEnded: ({ end, ...turn }) => metrics.turnEnded({ ...turn, ...end.usage, status: end.status }),
  })
  const acceptance = createTurnAcceptance({ ...shared, conversations: conversationTurns, nodeId, leaseMs: LEASE_MS })
  const turns = createTurnService({ database, acceptance, runner, conversations })

  // A SQLite file has one server, so whatever was running belongs to one that is gone.
  const isAlone = config.database.kind === 'sqlite'
  const recovered = await recoverTurns({
    ...shared,
    conversations: conversationTurns,
    mayEnd: ({ expiresAt }) => isAlone || expiresAt < clock(),
  })
  if (recovered > 0) log.warn({ runs: recovered }, 'ended the runs of a server that stopped without ending them')

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
  await http.register(createRoutes({ database, starter, turns, conversations }))
  await http.register(turnRoutes({ turns, clock }))
  await http.register(modelRoutes(registry))
  await http.ready()

  return {
    http,
    services,
    describeDefaultModel: async () => (await registry.resolveDefault()).why,
    async close() {
      isDraining = true
      const closed = http.close()
      await runner.drain(config.shutdownGraceMs)
      // Every reply is stored and written by now; what still waits is a reader that does not read, or never wrote.
      await Promise.race([closed, wait(FLUSH_MS)])
      connections.destroy()
      await closed
      await registry.close()
      await database.close()
    },
  }
}

import { setTimeout as wait } from 'node:timers/promises'
import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import { openBlobs } from './blobs/open-blobs.ts'
import type { Config } from './config/config.ts'
import { apiKeyRoutes } from './features/api-keys/api-key-routes.ts'
import { createArchive } from './features/archive/archive.ts'
import type { Archiver } from './features/archive/archiver.ts'
import { createAttachments } from './features/attachments/attachments.ts'
import { createConversations } from './features/conversations/conversations.ts'
import { createFeedbackService } from './features/feedback/feedback-service.ts'
import { createIdempotency } from './features/idempotency/idempotency.ts'
import { modelRoutes } from './features/model-list/model-routes.ts'
import { watchOrganizations } from './features/organizations/organization-count.ts'
import { createCheckConfiguration } from './features/personas/check-configuration.ts'
import { personaRoutes } from './features/personas/persona-routes.ts'
import { createPrivacy } from './features/privacy/privacy.ts'
import { tendSecrets } from './features/secrets/secret-rotation.ts'
import { secretRoutes } from './features/secrets/secret-routes.ts'
import { createSecretService } from './features/secrets/secret-service.ts'
import { createTools } from './features/tools/tools.ts'
import { createTurns } from './features/turns/turns.ts'
import { welcomeRoute } from './http/answers/welcome.ts'
import { createClientOf } from './http/connections/client-address.ts'
import type { Patience } from './http/connections/patience.ts'
import { createMetrics, type UnhandledKind } from './http/metrics.ts'
import { openHttp } from './http/open-http.ts'
import { documentRoutes } from './http/openapi/openapi.ts'
import { createReadiness } from './http/readiness.ts'
import { createAddressOf } from './http/requests/address.ts'
import { systemRoutes } from './http/system-routes.ts'
import { createMainThread } from './lib/fairness/main-thread.ts'
import { parseAiSystem } from './models/ai-systems.ts'
import { createProgressReport } from './models/local/progress-report.ts'
import { createModelRegistry, type ModelRegistry } from './models/providers/registry.ts'
import { createServices, type Services } from './services.ts'
import { openDatabase } from './storage/open-database.ts'
import { withRiders } from './storage/riders.ts'

export const VERSION = '0.1.0'

/** Milliseconds that readers have to take what has been written when the server stops. */
const FLUSH_MS = 1_000

export type App = {
  http: FastifyInstance
  services: Services
  archiver: Pick<Archiver, 'round'>
  /** Does work that stops everything for a moment; nobody is refused for it. */
  pause(work: () => void): void
  /** How many replies are under way here. */
  runningTurns(): number
  /** Counts an error that nobody has handled. */
  countUnhandled(kind: UnhandledKind): void
  /** The AI system that is used when nothing is named, and why; begins to download a local model. */
  describeDefaultModel: () => Promise<Awaited<ReturnType<ModelRegistry['resolveDefault']>>>
  /** Stops taking requests, gives running turns their time, stores what is left of the rest, closes the database. */
  close(): Promise<void>
}

/** Puts the server together: the only place that knows every feature. Throws `StorageError` when the database cannot be opened. */
export async function createApp(
  config: Config,
  log: FastifyBaseLogger,
  { patience }: { patience?: Patience } = {},
): Promise<App> {
  const storage = { asServer: true, log: (message: string) => log.info(message) }
  const { database, ride } = withRiders(await openDatabase(config.database, storage))
  const services = createServices(database)
  const { ids, clock, organizations, personas, apiKeys } = services
  const shared = { database, ids, clock, log, organizations }
  const { perKey, inAll } = { perKey: config.limits.runningTurnsPerKey, inAll: config.limits.runningTurns }
  const metrics = createMetrics({
    runningTurns: () => turns.running(),
    waitingTurns: () => turns.waiting(),
    openRequests: () => http.openRequests(),
    connections: () => http.connections(),
  })

  const onDownload = createProgressReport({
    terminal: process.stderr.isTTY ? process.stderr : null,
    log: (message) => log.info(message),
  })
  const models = createModelRegistry({ settings: config.providers, clock, onDownload })
  const blobs = openBlobs(config.blobs)
  const feedback = createFeedbackService(shared)
  const archive = createArchive({ ...shared, blobs })
  const attachments = createAttachments({ ...shared, blobs, limit: config.attachmentLimit })
  const keys = { current: config.tools.secretKey, previous: config.tools.previousSecretKeys }
  const secrets = createSecretService({ ...shared, keys })
  const { mcpPresets: presets, mcpProcesses: mostProcesses, privateHosts } = config.tools
  const mainThread = createMainThread()
  const tools = createTools({ clock, log, secrets, mainThread, settings: { presets, mostProcesses, privateHosts } })
  const checkConfiguration = createCheckConfiguration(tools)

  const conversations = createConversations({
    ...shared,
    personas,
    feedback,
    archive: archive.messages,
    attachments: attachments.service,
    resolveModel: async (aiSystem, model) => models.resolve(parseAiSystem(aiSystem) ?? 'default', model),
    addressOf: createAddressOf(config.publicUrl),
    checkConfiguration,
  })

  const counting = await watchOrganizations({ organizations, log })
  const isShared = counting.areSeveral
  const turns = createTurns({
    ...shared,
    nodeId: ids.next(),
    leaseMs: config.leaseMs,
    // A SQLite file has one server, so whatever another node has begun there was begun by one that is gone.
    isAlone: config.database.kind === 'sqlite',
    limits: { perKey, inAll, isShared },
    models,
    titleModel: config.titleModel,
    conversations: conversations.service,
    conversationTurns: conversations.forTurns,
    starter: conversations.starter,
    attachments: attachments.service,
    tools: tools.service,
    checkConfiguration,
    metrics,
  })
  await turns.begin()
  await tendSecrets({ database, keys, log })
  const { archiver, ...archiving } = archive.begin({ settings: config.archive, openTurns: turns.open })
  const idempotency = createIdempotency({ ...shared, ride })
  const privacy = createPrivacy({
    ...shared,
    conversations: conversations.service,
    whole: conversations.forExport,
    feedback,
    runs: turns.runs,
    stopper: turns.stopper,
    // What features keep of conversations outside the database.
    erasers: [archive.erase, attachments.erase],
  })

  let isDraining = false
  const http = await openHttp({
    log,
    authenticate: apiKeys.authenticate,
    nextRequestId: ids.next,
    bodyLimit: config.bodyLimit,
    corsOrigins: config.corsOrigins,
    tls: config.tls,
    ...(patience && { patience }),
    metrics,
    ...config.limits,
    turns: { perKey, inAll },
    isShared,
    connections: config.connections,
    mainThread,
    clientOf: createClientOf(config.connections.trustedProxies),
    beforeLimits: (app) => idempotency.attach(app, conversations.showAgain),
  })
  const { app } = http
  documentRoutes(app, {
    version: VERSION,
    address: config.publicUrl,
    loadExamples: async () => (await import('./api-examples.ts')).API_EXAMPLES,
  })
  const readiness = createReadiness({
    now: () => performance.now(),
    askDatabase: organizations.first,
    disks: [
      { what: 'the database', findObstacle: database.findObstacle },
      { what: 'the files', findObstacle: blobs.findObstacle },
    ],
  })
  const findObstacle = async () => (isDraining ? 'the server is stopping' : readiness())
  await app.register(systemRoutes({ metrics, metricsArePublic: config.metricsArePublic, findObstacle }))
  await app.register(welcomeRoute())
  await app.register(apiKeyRoutes(apiKeys))
  await app.register(personaRoutes({ personas, checkConfiguration }))
  await app.register(conversations.routes)
  await app.register(attachments.routes(conversations.service))
  await app.register(archive.routes({ conversations: conversations.service, feedback, apiKeys }))
  await app.register(turns.routes)
  await app.register(secretRoutes(secrets))
  await app.register(privacy.routes)
  await app.register(modelRoutes(models))
  // A batch of nothing: who cannot write must not listen. Threads and connections have had the time of all this to begin.
  await database.write([])
  await app.ready()

  return {
    http: app,
    services,
    archiver,
    pause: http.pause,
    runningTurns: turns.running,
    countUnhandled: metrics.countUnhandled,
    async describeDefaultModel() {
      await models.prepareDefault()
      return models.resolveDefault()
    },
    async close() {
      isDraining = true
      await turns.refuseMore()
      const closed = app.close()
      await turns.drain(config.shutdownGraceMs)
      // Every reply is stored and written by now; what still waits is a reader that does not read, or never wrote.
      await Promise.race([closed, wait(FLUSH_MS)])
      await http.destroy(closed)
      const upkeeps = [privacy, archiving, attachments, idempotency].map(({ upkeep }) => upkeep.stop())
      await Promise.all([turns.stop(), counting.stop(), ...upkeeps])
      await models.close()
      await tools.close()
      await database.close()
    },
  }
}

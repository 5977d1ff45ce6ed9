import { setTimeout as wait } from 'node:timers/promises'
import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import { openBlobs } from './blobs/open-blobs.ts'
import type { Config } from './config/config.ts'
import { apiKeyRoutes } from './features/api-keys/api-key-routes.ts'
import { createApiKeyService } from './features/api-keys/api-key-service.ts'
import { createArchiveEraser } from './features/archive/archive-eraser.ts'
import { createArchiveReader } from './features/archive/archive-reader.ts'
import { archiveRoutes } from './features/archive/archive-routes.ts'
import { keepArchiving } from './features/archive/archive-upkeep.ts'
import { type Archiver, createArchiver } from './features/archive/archiver.ts'
import { createAttachmentEraser } from './features/attachments/attachment-eraser.ts'
import { attachmentRoutes } from './features/attachments/attachment-routes.ts'
import { createAttachmentService } from './features/attachments/attachment-service.ts'
import { keepAttachments } from './features/attachments/attachment-upkeep.ts'
import { conversationRoutes } from './features/conversations/conversation-routes.ts'
import { createConversationService } from './features/conversations/conversation-service.ts'
import { createWholeConversations } from './features/conversations/for-export/whole-conversations.ts'
import { createConversationTurns } from './features/conversations/for-turns/conversation-turns.ts'
import { showAgain } from './features/conversations/show-again.ts'
import { createConversationStarter } from './features/conversations/start-conversation.ts'
import { createFeedbackService } from './features/feedback/feedback-service.ts'
import { answerOnce } from './features/idempotency/idempotency-hooks.ts'
import { createIdempotencyService, keepClaims } from './features/idempotency/idempotency-service.ts'
import { modelRoutes } from './features/model-list/model-routes.ts'
import { watchOrganizations } from './features/organizations/organization-count.ts'
import { createOrganizationService } from './features/organizations/organization-service.ts'
import { createCheckConfiguration } from './features/personas/check-configuration.ts'
import { personaRoutes } from './features/personas/persona-routes.ts'
import { createPersonaService } from './features/personas/persona-service.ts'
import { createEraseService, type Eraser, keepErasures } from './features/privacy/erase-service.ts'
import { createExportService } from './features/privacy/export-service.ts'
import { privacyRoutes } from './features/privacy/privacy-routes.ts'
import { tendSecrets } from './features/secrets/secret-rotation.ts'
import { secretRoutes } from './features/secrets/secret-routes.ts'
import { createSecretService } from './features/secrets/secret-service.ts'
import { createCheckSecretHosts } from './features/tools/tool-authority.ts'
import { createToolService } from './features/tools/toolbox.ts'
import { createPreparation } from './features/turns/accepting/early-context.ts'
import { createTurnAcceptance } from './features/turns/accepting/turn-acceptance.ts'
import { createSummarizer } from './features/turns/afterwards/summarizer.ts'
import { createTitler } from './features/turns/afterwards/titler.ts'
import { createTurnFiles } from './features/turns/context/files-for-model.ts'
import { createRecentTalk } from './features/turns/context/remembered-conversations.ts'
import { createTokenBudgets } from './features/turns/limits/token-budget.ts'
import { createTurnLimits } from './features/turns/limits/turn-limits.ts'
import { createRecovery } from './features/turns/recovering/recovery.ts'
import { keepTurns } from './features/turns/recovering/turn-upkeep.ts'
import { createReplyLog } from './features/turns/reply/reply-log.ts'
import { createApprovalList } from './features/turns/routes/approval-list.ts'
import { approvalRoutes } from './features/turns/routes/approval-routes.ts'
import { runRoutes } from './features/turns/routes/run-routes.ts'
import { createRoutes } from './features/turns/routes/start-routes.ts'
import { toolRoutes } from './features/turns/routes/tool-routes.ts'
import { turnRoutes } from './features/turns/routes/turn-routes.ts'
import { createOpenTurns } from './features/turns/run/open-turns.ts'
import { createWaitingLine } from './features/turns/run/waiting-line.ts'
import { createApprovals } from './features/turns/running/approvals.ts'
import { createTurnRunner } from './features/turns/running/turn-runner.ts'
import { createTurnService } from './features/turns/turn-service.ts'
import { welcomeRoute } from './http/answers/welcome.ts'
import { createClientOf } from './http/connections/client-address.ts'
import { trackConnections } from './http/connections/open-connections.ts'
import { PATIENCE, type Patience } from './http/connections/patience.ts'
import { watchReaders } from './http/connections/stalled-readers.ts'
import { limitOpenRequests } from './http/limits/open-requests.ts'
import { shedLoad, watchLoad } from './http/limits/overload.ts'
import { limitRequests } from './http/limits/rate-limit.ts'
import { createMetrics, type UnhandledKind } from './http/metrics.ts'
import { documentRoutes } from './http/openapi/openapi.ts'
import { createAddressOf } from './http/requests/address.ts'
import { createHttpServer } from './http/server.ts'
import { systemRoutes } from './http/system-routes.ts'
import { systemClock } from './lib/clock.ts'
import { createBackground } from './lib/fairness/background.ts'
import { createFairQueue } from './lib/fairness/fair-queue.ts'
import { createIdSource } from './lib/ids.ts'
import { parseAiSystem } from './models/ai-systems.ts'
import { createResilience } from './models/calling/resilience.ts'
import { createProgressReport } from './models/local/progress-report.ts'
import { createModelRegistry, type ModelRegistry } from './models/providers/registry.ts'
import { createGuardedAgent } from './net/guarded-agent.ts'
import { createSchemaChecks } from './schema-checks/schema-checks.ts'
import type { Database } from './storage/database.ts'
import { openDatabase } from './storage/open-database.ts'
import { withRiders } from './storage/riders.ts'

export const VERSION = '0.1.0'

/** Milliseconds that readers have to take what has been written when the server stops. */
const FLUSH_MS = 1_000
/** Summaries and titles that are made at the same time, those of one organization, and that may wait for their turn. */
const SIDE_CALLS = { atOnce: 16, atOnceEach: 8, most: 1_000 }

/** Milliseconds that replies wait for a database that went away: a restart, a failover. */
const REPLY_PATIENCE_MS = 10_000

/** Calls of tools that are made at the same time, those of one organization, and that may wait for their turn. */
const TOOL_CALLS = { atOnce: 256, atOnceEach: 128, most: 10_000 }
/** Requests that may be open for each turn that may be under way. */
const OPEN_A_TURN = 5

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

/** Puts the server together: the only place that knows every part. Throws `StorageError` when the database cannot be opened. */
export async function createApp(
  config: Config,
  log: FastifyBaseLogger,
  { patience = PATIENCE }: { patience?: Patience } = {},
): Promise<App> {
  const { database, ride } = withRiders(
    await openDatabase(config.database, { asServer: true, log: (message) => log.info(message) }),
  )
  const services = createServices(database)
  const { ids, clock, organizations, personas, apiKeys } = services
  const shared = { database, ids, clock }
  const nodeId = ids.next()

  const onDownload = createProgressReport({
    terminal: process.stderr.isTTY ? process.stderr : null,
    log: (message) => log.info(message),
  })
  const registry = createModelRegistry({ settings: config.providers, clock, onDownload })
  const feedback = createFeedbackService(shared)
  const blobs = openBlobs(config.blobs)
  const archive = createArchiveReader({ ...shared, blobs, organizations, log })
  const attachments = createAttachmentService({ ...shared, blobs, limit: config.attachmentLimit })
  const conversations = createConversationService({ ...shared, organizations, feedback, archive, attachments })
  const conversationTurns = createConversationTurns({ database, archive })
  const starter = createConversationStarter({
    ...shared,
    personas,
    resolveModel: async (aiSystem, model) => registry.resolve(parseAiSystem(aiSystem) ?? 'default', model),
  })

  const metrics = createMetrics({
    runningTurns: () => runner.count(),
    waitingTurns: () => limits.waiting(),
    openRequests: () => openRequests.count(),
    connections: () => connections.count(),
  })
  // A SQLite file has one server, so whatever another node has begun there was begun by one that is gone.
  const isAlone = config.database.kind === 'sqlite'
  const node = { nodeId, leaseMs: config.leaseMs, isAlone }
  const line = createWaitingLine({ ...shared, ...node })
  const toolConnections = createGuardedAgent({ allowedHosts: config.tools.privateHosts })
  const secretKeys = { current: config.tools.secretKey, previous: config.tools.previousSecretKeys }
  const secrets = createSecretService({ ...shared, keys: secretKeys })
  const approvals = createApprovals({ ...shared, isAlone })
  const schemaChecks = createSchemaChecks({ now: () => performance.now() })
  const tools = createToolService({
    ...{ clock, secrets, log, dispatcher: toolConnections, schemaChecks },
    presets: config.tools.mcpPresets,
    mostProcesses: config.tools.mcpProcesses,
  })
  const models = createResilience({ registry, clock })
  const background = createBackground({
    ...SIDE_CALLS,
    onError: (error, name) => log.warn({ err: error }, `the server failed to make a ${name}`),
  })
  const side = { ...shared, conversations: conversationTurns, models, background, log, onCalled: metrics.countTokens }
  const budgets = createTokenBudgets(shared)
  const summarizer = createSummarizer({ ...side, budgets })
  const files = createTurnFiles({ attachments, log })
  const recentTalk = createRecentTalk({ now: () => performance.now() })
  const titler = createTitler({ ...side, budgets, model: config.titleModel })
  const runner = createTurnRunner({
    ...shared,
    ...{ log, approvals, line, recentTalk, budgets },
    conversations: conversationTurns,
    // A lease has two thirds left at least when the database goes away. After that the turns may be somebody else's.
    replyLog: createReplyLog({ database, patienceMs: Math.min(REPLY_PATIENCE_MS, (config.leaseMs * 2) / 3) }),
    models,
    afterwards: (turn) => {
      summarizer.consider(turn)
      titler.consider(turn)
    },
    ...{ tools, files, toolCalls: createFairQueue(TOOL_CALLS) },
    onEnded: ({ end, ...turn }) => metrics.turnEnded({ ...turn, ...end.usage, status: end.status }),
  })
  const counting = await watchOrganizations({ organizations, log })
  const isShared = counting.areSeveral
  const { runningTurnsPerKey, runningTurns } = config.limits
  const limits = createTurnLimits({ perKey: runningTurnsPerKey, inAll: runningTurns, isShared })
  const acceptance = createTurnAcceptance({
    ...{ ...shared, ...node, conversations: conversationTurns, limits, budgets, recentTalk },
    prepareTurn: createPreparation({ conversations: conversationTurns, recentTalk, models: registry }),
  })
  const turns = createTurnService({
    ...{ database, clock, acceptance, approvals, runner, conversations, conversationTurns, organizations, files },
    recentTalk,
  })

  const recovery = createRecovery({ ...shared, ...node, log, runner, limits, conversations: conversationTurns })
  const recovered = await recovery.sweep()
  if (recovered.ended + recovered.restarted > 0) log.warn(recovered, 'took care of runs that their server had left')
  await tendSecrets({ database, keys: secretKeys, log })
  const upkeep = keepTurns({ database, clock, ...node, runner, recovery, recentTalk, log })
  const idempotency = createIdempotencyService({ database, clock })
  const sweeper = keepClaims({ database, clock, log })
  // What features keep of conversations outside the database.
  const erasers: Eraser[] = [
    createArchiveEraser({ database, blobs, clock, archive }),
    createAttachmentEraser({ database, blobs, clock, attachments }),
  ]
  const erasures = createEraseService({ ...shared, turns, erasers })
  const erasing = keepErasures({ erasures, log })
  const exports = createExportService({
    conversations,
    feedback,
    turns,
    whole: createWholeConversations({ database, transcript: archive.transcript }),
  })
  const archiver = createArchiver({
    ...{ ...shared, blobs, log, settings: config.archive },
    openTurns: createOpenTurns({ database }),
  })
  const archiving = keepArchiving({ archiver, log })
  const attaching = keepAttachments({ attachments, log })

  let isDraining = false
  const http = await createHttpServer({
    log,
    authenticate: apiKeys.authenticate,
    nextRequestId: ids.next,
    bodyLimit: config.bodyLimit,
    corsOrigins: config.corsOrigins,
    tls: config.tls,
    patience,
    wrongKeysPerMinute: config.limits.wrongKeysPerMinute,
    clientOf: createClientOf(config.connections.trustedProxies),
  })
  metrics.observeRequests(http)
  const load = watchLoad(config.limits.shedDelayMs)
  shedLoad(http, load)
  answerOnce(http, { idempotency, ride, showAgain: (...answer) => showAgain(conversations, ...answer) })
  const openRequests = limitOpenRequests(http, {
    ...{ perKey: OPEN_A_TURN * runningTurnsPerKey, inAll: OPEN_A_TURN * runningTurns, isShared },
  })
  limitRequests(http, {
    perMinute: config.limits.requestsPerMinute,
    now: () => performance.now(),
    isReplay: (request) => request.isReplay,
  })
  const connections = trackConnections(http.server, config.connections, metrics.countRefusedConnection)
  const readers = watchReaders(http.server, patience)
  documentRoutes(http, VERSION, config.publicUrl)
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
  await http.register(welcomeRoute())
  await http.register(apiKeyRoutes(apiKeys))
  const checkSecretHosts = createCheckSecretHosts(secrets)
  const checkConfiguration = createCheckConfiguration({ schemaChecks, checkSecretHosts })
  await http.register(personaRoutes({ personas, checkConfiguration }))
  await http.register(conversationRoutes({ conversations, addressOf: createAddressOf(config.publicUrl) }))
  await http.register(attachmentRoutes({ attachments, conversations }))
  await http.register(archiveRoutes({ archive, conversations, feedback, organizations, apiKeys, clock }))
  await http.register(createRoutes({ database, starter, turns, runner, conversations, checkConfiguration }))
  await http.register(turnRoutes({ turns, runner, eraseConversation: erasures.eraseConversation }))
  await http.register(toolRoutes({ turns, runner }))
  await http.register(approvalRoutes(createApprovalList({ database, organizations })))
  await http.register(secretRoutes(secrets))
  await http.register(runRoutes(turns))
  await http.register(privacyRoutes({ exports, erasures }))
  await http.register(modelRoutes(registry))
  // A batch of nothing: who cannot write must not listen. Threads and connections have had the time of all this to begin.
  await database.write([])
  await http.ready()

  return {
    http,
    services,
    archiver,
    pause: load.excuse,
    runningTurns: runner.count,
    countUnhandled: metrics.countUnhandled,
    async describeDefaultModel() {
      await registry.prepareDefault()
      return registry.resolveDefault()
    },
    async close() {
      isDraining = true
      limits.close()
      await upkeep.stopSweeping()
      const closed = http.close()
      await runner.drain(config.shutdownGraceMs)
      // Every reply is stored and written by now; what still waits is a reader that does not read, or never wrote.
      await Promise.race([closed, wait(FLUSH_MS)])
      connections.destroy()
      readers.stop()
      await closed
      load.stop()
      await Promise.all([
        background.stop(),
        upkeep.stop(),
        sweeper.stop(),
        counting.stop(),
        erasing.stop(),
        archiving.stop(),
        attaching.stop(),
      ])
      await registry.close()
      await toolConnections.destroy()
      await schemaChecks.close()
      await database.close()
    },
  }
}

import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { Clock } from '../../lib/clock.ts'
import { createBackground } from '../../lib/fairness/background.ts'
import { createFairQueue } from '../../lib/fairness/fair-queue.ts'
import type { IdSource } from '../../lib/ids.ts'
import type { Log } from '../../lib/log.ts'
import { createResilience } from '../../models/calling/resilience.ts'
import type { ModelRegistry } from '../../models/providers/registry.ts'
import type { Database } from '../../storage/database.ts'
import type { AttachmentService } from '../attachments/attachment-service.ts'
import type { ConversationService } from '../conversations/conversation-service.ts'
import type { ConversationTurns } from '../conversations/for-turns/conversation-turns.ts'
import type { ConversationStarter } from '../conversations/start-conversation.ts'
import type { OrganizationService } from '../organizations/organization-service.ts'
import type { CheckConfiguration } from '../personas/check-configuration.ts'
import type { ToolService } from '../tools/toolbox.ts'
import { createEarlyContext } from './accepting/early-context.ts'
import { createTurnAcceptance } from './accepting/turn-acceptance.ts'
import { createTurnPlans } from './accepting/turn-plans.ts'
import type { SideDeps } from './afterwards/side-run.ts'
import { createSummarizer } from './afterwards/summarizer.ts'
import { createTitler } from './afterwards/titler.ts'
import { createTurnFiles } from './context/files-for-model.ts'
import { createTurnContexts } from './context/turn-contexts.ts'
import { createTokenBudgets } from './limits/token-budget.ts'
import { createTurnLimits } from './limits/turn-limits.ts'
import { createRecovery } from './recovering/recovery.ts'
import { lookAfterTurns } from './recovering/turn-upkeep.ts'
import { createReplyLog } from './reply/reply-log.ts'
import { createApprovalList } from './routes/approval-list.ts'
import { approvalRoutes } from './routes/approval-routes.ts'
import { runRoutes } from './routes/run-routes.ts'
import { startRoutes } from './routes/start-routes.ts'
import { toolRoutes } from './routes/tool-routes.ts'
import { turnRoutes } from './routes/turn-routes.ts'
import { createOpenTurns } from './run/open-turns.ts'
import { createWaitingLine } from './run/waiting-line.ts'
import { createRunService } from './run-service.ts'
import { createRunStopper } from './run-stopper.ts'
import { createApprovals } from './running/approvals.ts'
import { createTurnRunner } from './running/turn-runner.ts'
import { createTurnService } from './turn-service.ts'

/** Summaries and titles that are made at the same time, those of one organization and of one key, and that may wait. */
const SIDE_CALLS = { atOnce: 16, atOnceEach: [8, 6], most: 1_000 }
/** Calls of tools that are made at the same time, those of one organization and of one key, and that may wait. */
const TOOL_CALLS = { atOnce: 256, atOnceEach: [128, 96], most: 10_000 }
/** Milliseconds that replies wait for a database that went away: a restart, a failover. */
const REPLY_PATIENCE_MS = 10_000

/** Told of what has happened, for the metrics. */
export type TurnMetrics = {
  countTokens: NonNullable<SideDeps['onCalled']>
  turnEnded(turn: {
    aiSystem: string
    status: string
    promptTokens: number
    completionTokens: number
    durationMs: number
    firstTokenMs: number | null
  }): void
}

export type Turns = ReturnType<typeof createTurns>

/** Turns: a message comes in, a model answers, and everything that has to happen around that, also when a server dies. */
export function createTurns(deps: {
  database: Database
  ids: IdSource
  clock: Clock
  log: Log
  nodeId: string
  /** Milliseconds after which a turn whose node does not renew it may be ended by another. */
  leaseMs: number
  /** No other node can be there. */
  isAlone: boolean
  limits: Parameters<typeof createTurnLimits>[0]
  models: ModelRegistry
  /** Null: nobody is asked for the names of conversations. */
  titleModel: Parameters<typeof createTitler>[0]['model']
  organizations: Pick<OrganizationService, 'tokenSecret' | 'first'>
  conversations: Pick<ConversationService, 'get' | 'getUntil'>
  conversationTurns: ConversationTurns
  starter: ConversationStarter
  attachments: Pick<AttachmentService, 'describe' | 'store' | 'read' | 'limit'>
  tools: Pick<ToolService, 'open'>
  checkConfiguration: CheckConfiguration
  metrics: TurnMetrics
}) {
  const { database, ids, clock, log, nodeId, leaseMs, isAlone, metrics } = deps
  const { organizations, starter, checkConfiguration, conversationTurns } = deps
  const shared = { database, ids, clock, log, nodeId, leaseMs, isAlone, conversations: conversationTurns }

  // What the model gets to see, and how much of it all there may be.
  const contexts = createTurnContexts({ database, conversations: conversationTurns, now: () => performance.now() })
  const files = createTurnFiles({ attachments: deps.attachments, log })
  const limits = createTurnLimits(deps.limits)
  const budgets = createTokenBudgets({ database, clock, contexts })

  // What happens behind a reply.
  const models = createResilience({ registry: deps.models, clock })
  const background = createBackground({
    ...SIDE_CALLS,
    onError: (error, name) => log.warn({ err: error }, `the server failed to make a ${name}`),
  })
  const side = { ...shared, models, background, budgets, onCalled: metrics.countTokens }
  const summarizer = createSummarizer(side)
  const titler = createTitler({ ...side, model: deps.titleModel })

  // Executing, and taking in what is to be executed.
  const line = createWaitingLine(shared)
  const approvals = createApprovals(shared)
  const runner = createTurnRunner({
    ...shared,
    approvals,
    line,
    contexts,
    budgets,
    models,
    files,
    tools: deps.tools,
    toolCalls: createFairQueue(TOOL_CALLS),
    // A lease has two thirds left at least when the database goes away. After that the turns may be somebody else's.
    replyLog: createReplyLog({ database, patienceMs: Math.min(REPLY_PATIENCE_MS, (leaseMs * 2) / 3) }),
    afterwards: (turn) => {
      summarizer.consider(turn)
      titler.consider(turn)
    },
    onEnded: ({ end, ...turn }) => metrics.turnEnded({ ...turn, ...end.usage, status: end.status }),
  })
  const plans = createTurnPlans({ ...shared, contexts })
  const prepareContext = createEarlyContext({ contexts, models: deps.models })
  const acceptance = createTurnAcceptance({ ...shared, limits, budgets, contexts, plans, prepareContext })

  // What callers ask for.
  const runs = createRunService({
    database,
    runner,
    conversations: deps.conversations,
    conversationTurns,
    organizations,
  })
  const stopper = createRunStopper({ ...shared, runner, runs, contexts })
  const service = createTurnService({ acceptance, runner, stopper, conversations: conversationTurns, files })
  const recovery = createRecovery({ ...shared, contexts, runner, limits })
  let upkeep: ReturnType<typeof lookAfterTurns> | undefined

  const routes: FastifyPluginAsyncTypebox = async (app) => {
    const turns = { turns: service, runs }
    const { conversations } = deps
    await app.register(startRoutes({ ...turns, database, starter, conversations, checkConfiguration }))
    await app.register(turnRoutes(turns))
    await app.register(toolRoutes({ ...turns, approvals }))
    await app.register(approvalRoutes(createApprovalList({ database, organizations })))
    await app.register(runRoutes({ runs, stopper }))
  }

  return {
    routes,
    runs,
    stopper,
    open: createOpenTurns({ database }),
    /** Turns that this process executes, and those that wait for an approval and have given their place to others. */
    running: runner.count,
    waiting: limits.waiting,

    /** Takes care of what an earlier server has left, and looks after turns from then on. */
    async begin(): Promise<void> {
      const recovered = await recovery.sweep()
      if (recovered.ended + recovered.restarted > 0) log.warn(recovered, 'took care of runs that their server had left')
      upkeep = lookAfterTurns({ ...shared, runner, recovery, contexts })
    },

    /** Takes no more turns, also not those that other servers leave. */
    async refuseMore(): Promise<void> {
      limits.close()
      await upkeep?.stopSweeping()
    },

    /** Gives the turns under way `graceMs` to end, and then stores what there is of the rest. */
    drain: runner.drain,

    async stop(): Promise<void> {
      await Promise.all([background.stop(), upkeep?.stop()])
    },
  }
}

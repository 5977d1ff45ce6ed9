import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { Clock } from '../../lib/clock.ts'
import type { IdSource } from '../../lib/ids.ts'
import type { Log } from '../../lib/log.ts'
import type { Database } from '../../storage/database.ts'
import type { ConversationService } from '../conversations/conversation-service.ts'
import type { WholeConversations } from '../conversations/for-export/whole-conversations.ts'
import type { FeedbackService } from '../feedback/feedback-service.ts'
import type { RunService } from '../turns/run-service.ts'
import type { RunStopper } from '../turns/run-stopper.ts'
import type { Eraser } from '../unclaimed-blobs/blob-eraser.ts'
import { deleteRoutes } from './delete-routes.ts'
import { createEraseService, lookAfterErasures } from './erase-service.ts'
import { createExportService } from './export-service.ts'
import { privacyRoutes } from './privacy-routes.ts'

/** What people can do with what is kept of them: take it along, and have it deleted or erased. */
export function createPrivacy(deps: {
  database: Database
  ids: IdSource
  clock: Clock
  log: Log
  conversations: Pick<ConversationService, 'get' | 'remove'>
  whole: WholeConversations
  feedback: Pick<FeedbackService, 'measure' | 'between'>
  runs: Pick<RunService, 'runsOf'>
  stopper: Pick<RunStopper, 'stopAll' | 'stopConversation'>
  /** Called before the rows of conversations go, because they may say where the rest is. */
  erasers: readonly Eraser[]
}) {
  const erasures = createEraseService({ ...deps, turns: deps.stopper })
  const exports = createExportService(deps)
  const routes: FastifyPluginAsyncTypebox = async (app) => {
    await app.register(deleteRoutes({ ...deps, erasures }))
    await app.register(privacyRoutes({ exports, erasures }))
  }
  return { routes, upkeep: lookAfterErasures({ erasures, log: deps.log }) }
}

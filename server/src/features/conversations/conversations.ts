import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { AddressOf } from '../../http/requests/address.ts'
import type { Clock } from '../../lib/clock.ts'
import type { IdSource } from '../../lib/ids.ts'
import type { Database } from '../../storage/database.ts'
import type { AttachmentService } from '../attachments/attachment-service.ts'
import type { FeedbackService } from '../feedback/feedback-service.ts'
import type { OrganizationService } from '../organizations/organization-service.ts'
import type { CheckConfiguration } from '../personas/check-configuration.ts'
import type { PersonaService } from '../personas/persona-service.ts'
import { changeRoutes } from './change-routes.ts'
import { conversationRoutes } from './conversation-routes.ts'
import { createConversationService } from './conversation-service.ts'
import type { ArchivedMessages } from './for-archive/archived-messages.ts'
import { createWholeConversations } from './for-export/whole-conversations.ts'
import { createConversationTurns } from './for-turns/conversation-turns.ts'
import { showAgain } from './show-again.ts'
import { createConversationStarter, type ResolveModel } from './start-conversation.ts'

/** Conversations: what they are started with, what was said in them, and what is known of them. */
export function createConversations(deps: {
  database: Database
  ids: IdSource
  clock: Clock
  organizations: Pick<OrganizationService, 'tokenSecret'>
  personas: Pick<PersonaService, 'forConversation'>
  feedback: FeedbackService
  archive: ArchivedMessages
  attachments: Pick<AttachmentService, 'discard'>
  resolveModel: ResolveModel
  addressOf: AddressOf
  checkConfiguration: CheckConfiguration
}) {
  const service = createConversationService(deps)
  const routes: FastifyPluginAsyncTypebox = async (app) => {
    await app.register(conversationRoutes({ conversations: service, addressOf: deps.addressOf }))
    await app.register(changeRoutes({ conversations: service, ...deps }))
  }
  return {
    service,
    starter: createConversationStarter(deps),
    forTurns: createConversationTurns(deps),
    forExport: createWholeConversations({ database: deps.database, transcript: deps.archive.transcript }),
    showAgain: (organizationId: string, conversationId: string, body: string): Promise<string> =>
      showAgain(service, organizationId, conversationId, body),
    routes,
  }
}

import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { answersNothing, Uuid } from '../../http/schemas.ts'
import { Type } from '../../lib/schema.ts'
import type { ConversationService } from '../conversations/conversation-service.ts'
import type { RunStopper } from '../turns/run-stopper.ts'
import type { EraseService } from './erase-service.ts'

const Path = Type.Object({ conversationId: Uuid })
const DeleteQuery = Type.Object({
  erase: Type.Optional(Type.Boolean({ description: 'Cannot be undone; also for one that is deleted.' })),
})

/** Deleting a conversation, with the turns that are under way on it. */
export function deleteRoutes(deps: {
  conversations: Pick<ConversationService, 'remove'>
  stopper: Pick<RunStopper, 'stopConversation'>
  erasures: Pick<EraseService, 'eraseConversation'>
}): FastifyPluginAsyncTypebox {
  const { conversations, stopper, erasures } = deps
  return async (app) => {
    app.delete(
      '/conversations/:conversationId',
      {
        config: {
          scope: 'conversations:write',
          isNewWork: true,
          mayLast: true,
        },
        schema: {
          tags: ['Conversations'],
          summary: 'Delete a conversation',
          description:
            'A turn that is running on it is cancelled. With `erase=true` nothing of it is left: 404 from then on.',
          params: Path,
          querystring: DeleteQuery,
          response: answersNothing('not_found', 'gone'),
        },
      },
      async (request, reply) => {
        const { organizationId } = request.caller
        const conversationId = request.params.conversationId.toLowerCase()
        if (request.query.erase) {
          await erasures.eraseConversation(organizationId, conversationId)
        } else {
          await conversations.remove(organizationId, conversationId)
          await stopper.stopConversation({ organizationId, conversationId })
        }
        return reply.code(204).send(null)
      },
    )
  }
}

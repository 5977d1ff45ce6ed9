import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { AppError } from '../../errors.ts'
import { arrayOf, sendJson } from '../../http/answers/pieces.ts'
import { answers, Uuid } from '../../http/schemas.ts'
import type { Clock } from '../../lib/clock.ts'
import { Type } from '../../lib/schema.ts'
import type { ApiKeyService } from '../api-keys/api-key-service.ts'
import { MessageDto } from '../conversations/conversation-schemas.ts'
import type { ConversationService } from '../conversations/conversation-service.ts'
import { hiddenIn, textsOf } from '../conversations/conversation-wire.ts'
import type { ArchivedMessages } from '../conversations/for-archive/archived-messages.ts'
import { withFeedback } from '../conversations/message-pieces.ts'
import type { FeedbackService } from '../feedback/feedback-service.ts'
import type { OrganizationService } from '../organizations/organization-service.ts'
import { checkTranscriptLink, refusal } from './transcript-link.ts'

/** The whole transcript of a conversation, behind a signed link. */
export function archiveRoutes(deps: {
  archive: Pick<ArchivedMessages, 'transcript'>
  conversations: Pick<ConversationService, 'get'>
  feedback: Pick<FeedbackService, 'measure' | 'between'>
  organizations: Pick<OrganizationService, 'tokenSecret'>
  apiKeys: Pick<ApiKeyService, 'isValid'>
  clock: Clock
}): FastifyPluginAsyncTypebox {
  const { archive, conversations, feedback, organizations, apiKeys, clock } = deps

  return async (app) => {
    app.get(
      '/transcripts/:organizationId/:conversationId',
      {
        config: { isPublic: true, isCostly: true },
        schema: {
          tags: ['Conversations'],
          summary: 'Read a whole transcript through the signed link in `chatMessagesBlobUri`',
          description:
            'Needs no key in a header. The link is good for 24 hours, and no longer than the key that asked for it.',
          security: [],
          params: Type.Object({ organizationId: Uuid, conversationId: Uuid }),
          querystring: Type.Object({
            // Absent in links that were given out before links had keys: those are good no more.
            key: Type.Optional(Uuid),
            expires: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }),
            signature: Type.String({ minLength: 1, maxLength: 100 }),
          }),
          response: answers(Type.Array(MessageDto), 'unauthorized', 'not_found', 'gone', 'unavailable'),
        },
      },
      async (request, reply) => {
        const organizationId = request.params.organizationId.toLowerCase()
        const conversationId = request.params.conversationId.toLowerCase()
        const secret = await organizations.tokenSecret(organizationId).catch(withoutSaying)
        const { key: keyId = '', ...link } = request.query
        checkTranscriptLink(secret, { organizationId, conversationId, keyId: keyId.toLowerCase() }, link, clock())
        if (!(await apiKeys.isValid(organizationId, keyId.toLowerCase()))) {
          throw new AppError('gone', 'the API key that asked for this link is not valid any more')
        }
        const key = { organizationId, conversationId }
        const hidden = hiddenIn(await conversations.get(organizationId, conversationId))
        const texts = textsOf(withFeedback(feedback, key, archive.transcript(key)), hidden)
        reply.header('cache-control', 'private, no-store')
        return sendJson(reply, arrayOf(texts)) as never
      },
    )
  }
}

/** Whether an organization is there is nothing that somebody without a key may find out. */
function withoutSaying(error: unknown): never {
  throw error instanceof AppError && error.code === 'not_found' ? refusal() : error
}

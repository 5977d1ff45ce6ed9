import { Readable } from 'node:stream'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { AppError } from '../../errors.ts'
import { answers, Uuid } from '../../http/schemas.ts'
import type { Clock } from '../../lib/clock.ts'
import { Type } from '../../lib/schema.ts'
import type { ArchivedMessages } from '../conversations/archived-messages.ts'
import type { Message } from '../conversations/conversation.ts'
import { MessageDto } from '../conversations/conversation-schemas.ts'
import type { ConversationService } from '../conversations/conversation-service.ts'
import { toMessageDto } from '../conversations/conversation-wire.ts'
import type { FeedbackService } from '../feedback/feedback-service.ts'
import type { OrganizationService } from '../organizations/organization-service.ts'
import { checkTranscriptLink, refusal } from './transcript-link.ts'

/** The whole transcript of a conversation, behind a signed link. */
export function archiveRoutes(deps: {
  archive: Pick<ArchivedMessages, 'transcript'>
  conversations: Pick<ConversationService, 'get'>
  feedback: Pick<FeedbackService, 'ofConversation'>
  organizations: Pick<OrganizationService, 'tokenSecret'>
  clock: Clock
}): FastifyPluginAsyncTypebox {
  const { archive, conversations, feedback, organizations, clock } = deps

  return async (app) => {
    app.get(
      '/transcripts/:organizationId/:conversationId',
      {
        config: { isPublic: true },
        schema: {
          tags: ['Conversations'],
          summary: 'Read a whole transcript through the signed link in `chatMessagesBlobUri`',
          description: 'Needs no key. The link is good for 24 hours.',
          security: [],
          params: Type.Object({ organizationId: Uuid, conversationId: Uuid }),
          querystring: Type.Object({
            expires: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }),
            signature: Type.String({ minLength: 1, maxLength: 100 }),
          }),
          response: answers(Type.Array(MessageDto)),
        },
      },
      async (request, reply) => {
        const organizationId = request.params.organizationId.toLowerCase()
        const conversationId = request.params.conversationId.toLowerCase()
        const secret = await organizations.tokenSecret(organizationId).catch(withoutSaying)
        checkTranscriptLink(secret, { organizationId, conversationId }, request.query, clock())
        const { isSecret, systemMessageId } = await conversations.get(organizationId, conversationId)
        const given = await feedback.ofConversation(organizationId, conversationId)
        const hidden = isSecret ? systemMessageId : null
        const toText = (message: Message) => JSON.stringify(toMessageDto(message, given.get(message.id) ?? []))
        const pieces = asJsonArray(archive.transcript({ organizationId, conversationId }), hidden, toText)
        // The first piece before the head, so that a store that does not answer is a 503.
        const first = await pieces.next()
        reply.header('cache-control', 'private, no-store').type('application/json; charset=utf-8')
        const text = Readable.from(resume(first, pieces))
        return reply.send(text as never)
      },
    )
  }
}

/** Whether an organization is there is nothing that somebody without a key may find out. */
function withoutSaying(error: unknown): never {
  throw error instanceof AppError && error.code === 'not_found' ? refusal() : error
}

async function* asJsonArray(
  pieces: AsyncIterable<Message[]>,
  hiddenId: string | null,
  toText: (message: Message) => string,
): AsyncGenerator<string, void> {
  let before = '['
  for await (const messages of pieces) {
    const shown = messages.filter(({ id }) => id !== hiddenId)
    if (shown.length === 0) continue
    yield before + shown.map(toText).join(',')
    before = ','
  }
  yield before === '[' ? '[]' : ']'
}

async function* resume(first: IteratorResult<string, void>, rest: AsyncGenerator<string, void>) {
  if (first.done) return
  yield first.value
  yield* rest
}

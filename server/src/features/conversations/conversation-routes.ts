import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { badField } from '../../errors.ts'
import type { OpenPage } from '../../http/answers/pagination.ts'
import { type Pieces, pageOf, sendJson } from '../../http/answers/pieces.ts'
import type { AddressOf } from '../../http/requests/address.ts'
import { checkMetadata, checkSameId } from '../../http/requests/fields.ts'
import { answers, Uuid } from '../../http/schemas.ts'
import { isUuid } from '../../lib/ids.ts'
import { Type } from '../../lib/schema.ts'
import type { ConversationChange, PersonaChoice } from './conversation.ts'
import {
  ConversationDto,
  ConversationResultSet,
  SetActiveRequest,
  SetConversationScoreRequest,
  SetMessageScoreRequest,
  SetMetadataRequest,
  SetNameRequest,
  SetStatusRequest,
  UpdateConversationRequest,
} from './conversation-schemas.ts'
import type { ConversationService, ListedConversation, ShownConversation } from './conversation-service.ts'
import { toConversationPieces, toNewFeedback } from './conversation-wire.ts'
import { ListQuery, toListRequest } from './list-wire.ts'

const tags = ['Conversations']
const Path = Type.Object({ conversationId: Uuid })

/** Lists whose path goes on behind a word, the field that stands there, and how it is given. */
const LISTS_BY = [
  ['persona', 'personaId', 'list with /conversations/persona/{personaId}, or with any or none in its place'],
  ['user', 'externalUserId', 'list with /conversations/user/{externalUserId}'],
] as const

/** Reading, listing and changing conversations. What makes them go on is in `turns/`. */
export function conversationRoutes(deps: {
  conversations: ConversationService
  addressOf: AddressOf
}): FastifyPluginAsyncTypebox {
  const { conversations, addressOf } = deps

  function print(request: FastifyRequest, shown: Omit<ListedConversation, 'id'>): Pieces {
    const { transcriptLink } = shown
    return toConversationPieces(shown, transcriptLink && addressOf(request) + transcriptLink(request.caller.keyId))
  }

  const answer = (request: FastifyRequest, reply: FastifyReply, shown: ShownConversation) =>
    sendJson(reply, print(request, shown))

  const answerList = (request: FastifyRequest, reply: FastifyReply, page: OpenPage<ListedConversation>) =>
    sendJson(
      reply,
      pageOf(page, (listed) => print(request, listed)),
    )

  const show = async (request: ConversationRequest, reply: FastifyReply) =>
    answer(request, reply, await conversations.getWithMessages(...keyOf(request)))

  return async (app) => {
    app.get(
      '/conversations/:conversationId',
      {
        config: { scope: 'conversations:read' },
        schema: {
          tags,
          summary: 'Get a conversation with its messages',
          params: Path,
          response: answers(ConversationDto, 'not_found', 'gone'),
        },
      },
      show,
    )

    const config = { scope: 'conversations:read', isCostly: hasMessages } as const
    const list = { tags, querystring: ListQuery, response: answers(ConversationResultSet) }
    app.get(
      '/conversations',
      { config, schema: { ...list, summary: 'List conversations, newest first' } },
      async (request, reply) =>
        answerList(
          request,
          reply,
          await conversations.list(request.caller.organizationId, toListRequest(request.query, { kind: 'all' }, null)),
        ),
    )
    app.get(
      '/conversations/persona/:personaId',
      {
        config,
        schema: {
          ...list,
          summary: 'List the conversations with a persona',
          params: Type.Object({ personaId: Type.String({ description: 'An id, `any` or `none`.' }) }),
        },
      },
      async (request, reply) => {
        const choice = toPersonaChoice(request.params.personaId)
        return answerList(
          request,
          reply,
          await conversations.list(request.caller.organizationId, toListRequest(request.query, choice, null)),
        )
      },
    )
    app.get(
      '/conversations/user/:externalUserId',
      {
        config,
        schema: {
          ...list,
          summary: 'List the conversations of a user of yours',
          params: Type.Object({ externalUserId: Type.String({ minLength: 1, maxLength: 256 }) }),
        },
      },
      async (request, reply) =>
        answerList(
          request,
          reply,
          await conversations.list(
            request.caller.organizationId,
            toListRequest(request.query, { kind: 'all' }, request.params.externalUserId),
          ),
        ),
    )

    for (const [name, field, issue] of LISTS_BY) {
      // Without these the path is that of a conversation whose id is a word.
      app.get(`/conversations/${name}`, { config, schema: { hide: true } as object }, () => {
        throw badField(field, `is missing: ${issue}`)
      })
    }

    // What is too long to be kept is read again.
    const idempotency = {
      again: (request: FastifyRequest, reply: FastifyReply) => show(request as ConversationRequest, reply),
    }
    const change = { tags, params: Path, response: answers(ConversationDto, 'not_found', 'gone') }
    const update = async (
      request: ConversationRequest,
      reply: FastifyReply,
      inBody: { conversationId?: string | null },
      to: ConversationChange,
    ) => {
      checkSameId('conversationId', request.params.conversationId, inBody.conversationId)
      return answer(request, reply, await conversations.update(...keyOf(request), to))
    }
    app.patch(
      '/conversations/:conversationId/set-active',
      {
        config: { scope: 'conversations:write', idempotency },
        schema: { ...change, summary: 'Activate or deactivate', body: SetActiveRequest },
      },
      (request, reply) => update(request, reply, request.body, { isActive: request.body.isActive }),
    )
    app.patch(
      '/conversations/:conversationId/set-metadata',
      {
        config: { scope: 'conversations:write', idempotency },
        schema: { ...change, summary: 'Replace the metadata', body: SetMetadataRequest },
      },
      (request, reply) =>
        update(request, reply, request.body, { metadata: checkMetadata('metadata', request.body.metadata) }),
    )
    app.patch(
      '/conversations/:conversationId/set-conversation-name',
      {
        config: { scope: 'conversations:write', idempotency },
        schema: { ...change, summary: 'Name it', body: SetNameRequest },
      },
      (request, reply) => update(request, reply, request.body, { name: request.body.conversationName }),
    )
    app.patch(
      '/conversations/:conversationId/set-conversation-status',
      {
        config: { scope: 'conversations:write', idempotency },
        schema: { ...change, summary: 'Set the status, a word of yours', body: SetStatusRequest },
      },
      (request, reply) => update(request, reply, request.body, { status: request.body.conversationStatus }),
    )
    app.patch(
      '/conversations/:conversationId/update',
      {
        config: { scope: 'conversations:write', idempotency },
        schema: { ...change, summary: 'Change any of these fields', body: UpdateConversationRequest },
      },
      (request, reply) => {
        const { isActive, metadata, conversationName, conversationStatus } = request.body
        return update(request, reply, request.body, {
          ...(isActive === undefined ? {} : { isActive }),
          ...(metadata === undefined ? {} : { metadata: checkMetadata('metadata', metadata) }),
          ...(conversationName === undefined ? {} : { name: conversationName }),
          ...(conversationStatus === undefined ? {} : { status: conversationStatus }),
        })
      },
    )

    app.patch(
      '/conversations/:conversationId/set-score',
      {
        config: { scope: 'feedback:write', idempotency },
        schema: {
          ...change,
          tags: ['Feedback'],
          summary: 'Score the whole conversation',
          body: SetConversationScoreRequest,
        },
      },
      async (request, reply) => {
        checkSameId('conversationId', request.params.conversationId, request.body.conversationId)
        const { score, scoreText, scoreTags } = request.body
        return answer(
          request,
          reply,
          await conversations.score(...keyOf(request), {
            score: score ?? null,
            text: scoreText ?? null,
            tags: scoreTags ?? null,
          }),
        )
      },
    )
    app.patch(
      '/conversations/:conversationId/set-score/:messageId',
      {
        config: { scope: 'feedback:write', idempotency },
        schema: {
          ...change,
          tags: ['Feedback'],
          summary: 'Give feedback on a message',
          description: 'The same `feedbackId` again replaces it.',
          params: Type.Object({ conversationId: Uuid, messageId: Uuid }),
          body: SetMessageScoreRequest,
        },
      },
      async (request, reply) => {
        const { messageId } = request.params
        checkSameId('messageId', messageId, request.body.messageId)
        return answer(
          request,
          reply,
          await conversations.giveFeedback(...keyOf(request), messageId.toLowerCase(), toNewFeedback(request.body)),
        )
      },
    )
  }
}

/** Whether a list is asked for with messages. */
function hasMessages({ query }: FastifyRequest): boolean {
  return /^(true|1)$/.test(String((query as { includeMessages?: unknown }).includeMessages))
}

type ConversationRequest = FastifyRequest & { params: { conversationId: string } }

function keyOf(request: ConversationRequest): [organizationId: string, conversationId: string] {
  return [request.caller.organizationId, request.params.conversationId.toLowerCase()]
}

function toPersonaChoice(text: string): PersonaChoice {
  if (text === 'any' || text === 'none') return { kind: text }
  if (!isUuid(text)) throw badField('personaId', 'must be a UUID, any or none')
  return { kind: 'one', personaId: text.toLowerCase() }
}

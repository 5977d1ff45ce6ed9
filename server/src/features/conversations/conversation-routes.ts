import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyRequest } from 'fastify'
import { badField } from '../../errors.ts'
import type { AddressOf } from '../../http/address.ts'
import { checkMetadata, checkSameId } from '../../http/limits.ts'
import type { Page } from '../../http/pagination.ts'
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
import type { ConversationService, ListedConversation } from './conversation-service.ts'
import { toConversationDto, toNewFeedback } from './conversation-wire.ts'
import { ListQuery, toListRequest } from './list-wire.ts'

const tags = ['Conversations']
const Path = Type.Object({ conversationId: Uuid })

/** Reading, listing and changing conversations. What makes them go on is in `turns/`. */
export function conversationRoutes(deps: {
  conversations: ConversationService
  addressOf: AddressOf
}): FastifyPluginAsyncTypebox {
  const { conversations, addressOf } = deps

  function toDto(
    request: FastifyRequest,
    { conversation, messages, feedback, transcriptPath }: ListedConversation,
  ): ReturnType<typeof toConversationDto> {
    const uri = transcriptPath === null ? null : addressOf(request) + transcriptPath
    return toConversationDto(conversation, messages, feedback, uri)
  }

  function toResultSet(request: FastifyRequest, { data, continuationToken }: Page<ListedConversation>) {
    return { data: data.map((listed) => toDto(request, listed)), continuationToken }
  }

  return async (app) => {
    app.get(
      '/conversations/:conversationId',
      {
        config: { scope: 'conversations:read' },
        schema: {
          tags,
          summary: 'Get a conversation with its messages',
          params: Path,
          response: answers(ConversationDto),
        },
      },
      async (request) => toDto(request, await conversations.getWithMessages(...keyOf(request))),
    )

    const list = { tags, querystring: ListQuery, response: answers(ConversationResultSet) }
    app.get(
      '/conversations',
      { config: { scope: 'conversations:read' }, schema: { ...list, summary: 'List conversations, newest first' } },
      async (request) =>
        toResultSet(
          request,
          await conversations.list(request.caller.organizationId, toListRequest(request.query, { kind: 'all' }, null)),
        ),
    )
    app.get(
      '/conversations/persona/:personaId',
      {
        config: { scope: 'conversations:read' },
        schema: {
          ...list,
          summary: 'List the conversations with a persona',
          params: Type.Object({ personaId: Type.String({ description: 'An id, `any` or `none`.' }) }),
        },
      },
      async (request) => {
        const choice = toPersonaChoice(request.params.personaId)
        return toResultSet(
          request,
          await conversations.list(request.caller.organizationId, toListRequest(request.query, choice, null)),
        )
      },
    )
    app.get(
      '/conversations/user/:externalUserId',
      {
        config: { scope: 'conversations:read' },
        schema: {
          ...list,
          summary: 'List the conversations of a user of yours',
          params: Type.Object({ externalUserId: Type.String({ minLength: 1, maxLength: 256 }) }),
        },
      },
      async (request) =>
        toResultSet(
          request,
          await conversations.list(
            request.caller.organizationId,
            toListRequest(request.query, { kind: 'all' }, request.params.externalUserId),
          ),
        ),
    )

    const change = { tags, params: Path, response: answers(ConversationDto) }
    const update = async (
      request: ConversationRequest,
      inBody: { conversationId?: string | null },
      to: ConversationChange,
    ) => {
      checkSameId('conversationId', request.params.conversationId, inBody.conversationId)
      return toDto(request, await conversations.update(...keyOf(request), to))
    }
    app.patch(
      '/conversations/:conversationId/set-active',
      {
        config: { scope: 'conversations:write' },
        schema: { ...change, summary: 'Activate or deactivate', body: SetActiveRequest },
      },
      (request) => update(request, request.body, { isActive: request.body.isActive }),
    )
    app.patch(
      '/conversations/:conversationId/set-metadata',
      {
        config: { scope: 'conversations:write' },
        schema: { ...change, summary: 'Replace the metadata', body: SetMetadataRequest },
      },
      (request) => update(request, request.body, { metadata: checkMetadata('metadata', request.body.metadata) }),
    )
    app.patch(
      '/conversations/:conversationId/set-conversation-name',
      {
        config: { scope: 'conversations:write' },
        schema: { ...change, summary: 'Name it', body: SetNameRequest },
      },
      (request) => update(request, request.body, { name: request.body.conversationName }),
    )
    app.patch(
      '/conversations/:conversationId/set-conversation-status',
      {
        config: { scope: 'conversations:write' },
        schema: { ...change, summary: 'Set the status, a word of yours', body: SetStatusRequest },
      },
      (request) => update(request, request.body, { status: request.body.conversationStatus }),
    )
    app.patch(
      '/conversations/:conversationId/update',
      {
        config: { scope: 'conversations:write' },
        schema: { ...change, summary: 'Change any of these fields', body: UpdateConversationRequest },
      },
      (request) => {
        const { isActive, metadata, conversationName, conversationStatus } = request.body
        return update(request, request.body, {
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
        config: { scope: 'feedback:write' },
        schema: {
          ...change,
          tags: ['Feedback'],
          summary: 'Score the whole conversation',
          body: SetConversationScoreRequest,
        },
      },
      async (request) => {
        checkSameId('conversationId', request.params.conversationId, request.body.conversationId)
        const { score, scoreText, scoreTags } = request.body
        return toDto(
          request,
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
        config: { scope: 'feedback:write' },
        schema: {
          ...change,
          tags: ['Feedback'],
          summary: 'Give feedback on a message',
          description: 'The same `feedbackId` again replaces it.',
          params: Type.Object({ conversationId: Uuid, messageId: Uuid }),
          body: SetMessageScoreRequest,
        },
      },
      async (request) => {
        const { messageId } = request.params
        checkSameId('messageId', messageId, request.body.messageId)
        return toDto(
          request,
          await conversations.giveFeedback(...keyOf(request), messageId.toLowerCase(), toNewFeedback(request.body)),
        )
      },
    )
  }
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

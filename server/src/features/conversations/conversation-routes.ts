import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { badField } from '../../errors.ts'
import type { OpenPage } from '../../http/answers/pagination.ts'
import { type Pieces, pageOf, sendJson } from '../../http/answers/pieces.ts'
import type { AddressOf } from '../../http/requests/address.ts'
import { nameOfUser, UserPath, UserQuery } from '../../http/requests/user-name.ts'
import { answers, Uuid } from '../../http/schemas.ts'
import { isUuid } from '../../lib/ids.ts'
import { Type } from '../../lib/schema.ts'
import type { PersonaChoice } from './conversation.ts'
import { ConversationDto, ConversationResultSet } from './conversation-schemas.ts'
import type { ConversationService, ListedConversation } from './conversation-service.ts'
import { toConversationPieces } from './conversation-wire.ts'
import { ListQuery, toListRequest } from './list-wire.ts'

const tags = ['Conversations']
const Path = Type.Object({ conversationId: Uuid })

/** Reading and listing conversations. */
export function conversationRoutes(deps: {
  conversations: ConversationService
  addressOf: AddressOf
}): FastifyPluginAsyncTypebox {
  const { conversations, addressOf } = deps

  const print = printer(addressOf)

  const answerList = (request: FastifyRequest, reply: FastifyReply, page: OpenPage<ListedConversation>) =>
    sendJson(
      reply,
      pageOf(page, (listed) => print(request, listed)),
    )

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
      async (request, reply) => sendJson(reply, print(request, await conversations.getWithMessages(...keyOf(request)))),
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
    const ofUser = { ...list, summary: 'List the conversations of a user of yours' }
    const answerOfUser = async (request: FastifyRequest, reply: FastifyReply) => {
      const wanted = toListRequest(request.query as object, { kind: 'all' }, nameOfUser(request))
      return answerList(request, reply, await conversations.list(request.caller.organizationId, wanted))
    }
    app.get('/conversations/user/:externalUserId', { config, schema: { ...ofUser, params: UserPath } }, answerOfUser)
    app.get(
      '/conversations/user',
      {
        config,
        schema: {
          ...ofUser,
          description: 'The name is a parameter: for names such as `..`, which no path can hold.',
          querystring: Type.Object({ ...UserQuery.properties, ...ListQuery.properties }),
        },
        preValidation: ({ query }, _reply, done) => {
          const isNamed = (query as { externalUserId?: string }).externalUserId !== undefined
          done(isNamed ? undefined : badField('externalUserId', WITHOUT_USER))
        },
      },
      answerOfUser,
    )

    // Without this the path is that of a conversation whose id is a word.
    app.get('/conversations/persona', { config, schema: { hide: true } as object }, () => {
      throw badField(
        'personaId',
        'is missing: list with /conversations/persona/{personaId}, or with any or none in its place',
      )
    })
  }
}

const WITHOUT_USER = 'is missing: list with /conversations/user/{externalUserId}, or with ?externalUserId='

/** Whether a list is asked for with messages. */
function hasMessages({ query }: FastifyRequest): boolean {
  return /^(true|1)$/.test(String((query as { includeMessages?: unknown }).includeMessages))
}

export type ConversationRequest = FastifyRequest & { params: { conversationId: string } }

/** Makes what prints conversations; a link to the whole transcript is bound to the key that asks. */
export function printer(addressOf: AddressOf) {
  return (request: FastifyRequest, shown: Omit<ListedConversation, 'id'>): Pieces => {
    const { transcriptLink } = shown
    return toConversationPieces(shown, transcriptLink && addressOf(request) + transcriptLink(request.caller.keyId))
  }
}

export function keyOf(request: ConversationRequest): [organizationId: string, conversationId: string] {
  return [request.caller.organizationId, request.params.conversationId.toLowerCase()]
}

function toPersonaChoice(text: string): PersonaChoice {
  if (text === 'any' || text === 'none') return { kind: text }
  if (!isUuid(text)) throw badField('personaId', 'must be a UUID, any or none')
  return { kind: 'one', personaId: text.toLowerCase() }
}

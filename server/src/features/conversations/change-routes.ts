import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { sendJson } from '../../http/answers/pieces.ts'
import type { AddressOf } from '../../http/requests/address.ts'
import type { Scope } from '../../http/requests/caller.ts'
import { checkMetadata, checkSameId } from '../../http/requests/fields.ts'
import { answers, Uuid } from '../../http/schemas.ts'
import type { JsonObject } from '../../lib/json.ts'
import { type Static, type TSchema, Type } from '../../lib/schema.ts'
import type { CheckConfiguration } from '../personas/check-configuration.ts'
import { toConfiguration } from '../personas/persona-configuration.ts'
import type { ConversationChange } from './conversation.ts'
import { type ConversationRequest, keyOf, printer } from './conversation-routes.ts'
import {
  ConversationDto,
  SetActiveRequest,
  SetConversationScoreRequest,
  SetMessageScoreRequest,
  SetMetadataRequest,
  SetNameRequest,
  SetStatusRequest,
  UpdateConversationRequest,
} from './conversation-schemas.ts'
import type { ConversationService, ShownConversation } from './conversation-service.ts'
import { configurationFrom, toNewFeedback, toWrittenDto } from './conversation-wire.ts'

const Path = Type.Object({ conversationId: Uuid })
const MessagePath = Type.Object({ conversationId: Uuid, messageId: Uuid })

const ANSWER =
  'Answers the conversation. A key without `conversations:read` gets its id, whether it is active, and what this ' +
  'request has written; all else is null.'

/** One way to change a conversation. */
type Way<B extends TSchema, P extends TSchema> = {
  path: string
  scope: Scope
  tags: string[]
  summary: string
  description?: string
  params: P
  body: B
  /** What of it can be read in a conversation. */
  changeIn: (body: Static<B>) => ConversationChange
  /** Throws for what the caller may not write, or nobody. */
  check?: (request: ConversationRequest, body: Static<B>) => Promise<void>
  carryOut: (request: ConversationRequest, body: Static<B>, params: Static<P>) => Promise<ShownConversation>
}

/** Changing and scoring conversations. What makes them go on is in `turns/`. */
export function changeRoutes(deps: {
  conversations: ConversationService
  addressOf: AddressOf
  checkConfiguration: CheckConfiguration
}): FastifyPluginAsyncTypebox {
  const { conversations, addressOf, checkConfiguration } = deps
  const print = printer(addressOf)

  function route<B extends TSchema, P extends TSchema>(app: FastifyInstance, way: Way<B, P>): void {
    const { path, scope, tags, summary, description, params, body, changeIn, check, carryOut } = way
    const changeOf = (request: FastifyRequest) => changeIn(request.body as Static<B>)
    const answer = (request: FastifyRequest, reply: FastifyReply, shown: ShownConversation) => {
      if (mayRead(request)) return sendJson(reply, print(request, shown))
      const { id, isActive } = shown.conversation
      return reply.send(toWrittenDto({ conversationId: id, isActive }, changeOf(request)))
    }
    app.patch(
      `/conversations/:conversationId/${path}`,
      {
        config: {
          scope,
          idempotency: {
            // What is too long to be kept is read again.
            again: async (request, reply) =>
              answer(request, reply, await conversations.getWithMessages(...keyOf(request as ConversationRequest))),
            // It may have been another key that was answered at first.
            shownTo: (request, kept) => (mayRead(request) ? kept : toWrittenDto(basicsOf(kept), changeOf(request))),
          },
        },
        schema: {
          tags,
          summary,
          params,
          body,
          description: description === undefined ? ANSWER : `${description} ${ANSWER}`,
          response: answers(ConversationDto, 'not_found', 'gone'),
        },
      },
      async (request, reply) => {
        const asked = request as ConversationRequest
        const { conversationId } = request.body as { conversationId?: string | null }
        checkSameId('conversationId', asked.params.conversationId, conversationId)
        await check?.(asked, request.body as Static<B>)
        const shown = await carryOut(asked, request.body as Static<B>, request.params as Static<P>)
        return answer(request, reply, shown)
      },
    )
  }

  return async (app) => {
    const change = <B extends TSchema>(
      path: string,
      summary: string,
      body: B,
      changeIn: (body: Static<B>) => ConversationChange,
      check?: Way<B, typeof Path>['check'],
    ) =>
      route(app as unknown as FastifyInstance, {
        path,
        summary,
        body,
        changeIn,
        ...(check && { check }),
        scope: 'conversations:write',
        tags: ['Conversations'],
        params: Path,
        carryOut: (request, body) => conversations.update(...keyOf(request), changeIn(body)),
      })
    change('set-active', 'Activate or deactivate', SetActiveRequest, ({ isActive }) => ({ isActive }))
    change('set-metadata', 'Replace the metadata', SetMetadataRequest, ({ metadata }) => ({
      metadata: checkMetadata('metadata', metadata),
    }))
    change('set-conversation-name', 'Name it', SetNameRequest, ({ conversationName }) => ({ name: conversationName }))
    change(
      'set-conversation-status',
      'Set the status, a word of yours',
      SetStatusRequest,
      ({ conversationStatus }) => ({
        status: conversationStatus,
      }),
    )
    const checkWritten = async (request: ConversationRequest, body: Static<typeof UpdateConversationRequest>) => {
      const written = configurationFrom(request.caller, body.configuration)
      await checkConfiguration(request.caller, 'configuration', written ?? null)
    }
    const changeAny = (body: Static<typeof UpdateConversationRequest>) => {
      const { isActive, metadata, conversationName, conversationStatus } = body
      return {
        ...(isActive === undefined ? {} : { isActive }),
        ...(metadata === undefined ? {} : { metadata: checkMetadata('metadata', metadata) }),
        ...(conversationName === undefined ? {} : { name: conversationName }),
        ...(conversationStatus === undefined ? {} : { status: conversationStatus }),
        ...(body.configuration === undefined
          ? {}
          : { configuration: body.configuration && toConfiguration('configuration', body.configuration) }),
      }
    }
    change('update', 'Change any of these fields', UpdateConversationRequest, changeAny, checkWritten)

    const feedback = { scope: 'feedback:write', tags: ['Feedback'], changeIn: () => ({}) } as const
    route(app as unknown as FastifyInstance, {
      ...feedback,
      tags: [...feedback.tags],
      path: 'set-score',
      params: Path,
      body: SetConversationScoreRequest,
      summary: 'Score the whole conversation',
      carryOut: (request, { score, scoreText, scoreTags }) =>
        conversations.score(...keyOf(request), {
          score: score ?? null,
          text: scoreText ?? null,
          tags: scoreTags ?? null,
        }),
    })
    route(app as unknown as FastifyInstance, {
      ...feedback,
      tags: [...feedback.tags],
      path: 'set-score/:messageId',
      params: MessagePath,
      body: SetMessageScoreRequest,
      summary: 'Give feedback on a message',
      description: 'The same `feedbackId` again replaces it.',
      carryOut: (request, body, { messageId }) => {
        checkSameId('messageId', messageId, body.messageId)
        return conversations.giveFeedback(...keyOf(request), messageId.toLowerCase(), toNewFeedback(body))
      },
    })
  }
}

function mayRead({ caller }: FastifyRequest): boolean {
  return caller.scopes.has('conversations:read')
}

/** What is said of a conversation to everybody who may change it, out of an answer that was kept. */
function basicsOf(kept: JsonObject): { conversationId: string; isActive: boolean } {
  return { conversationId: String(kept['conversationId']), isActive: kept['isActive'] === true }
}

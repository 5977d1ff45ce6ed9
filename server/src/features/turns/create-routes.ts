import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { answers } from '../../http/schemas.ts'
import { sseEvent } from '../../http/sse.ts'
import type { Database } from '../../storage/database.ts'
import {
  ConversationDto,
  CreateConversationRequest,
  CreatePersonaConversationRequest,
} from '../conversations/conversation-schemas.ts'
import type { ConversationService } from '../conversations/conversation-service.ts'
import { toConversationDto, toGeneralStart, toPersonaStart } from '../conversations/conversation-wire.ts'
import type { ConversationStarter, StartedConversation } from '../conversations/start-conversation.ts'
import { failureBeforeText, HEADERS_AFTER_MS, streamReply } from './reply-stream.ts'
import type { TurnService } from './turn-service.ts'
import { errorOf } from './turn-wire.ts'

const tags = ['Conversations']
const WARNING = '299 dramatis "dataspaceIds are stored and have no effect yet"'

/** Clients refuse an answer whose headers are longer than 16 KiB in all, many proxies at 8 KiB. */
const MAX_HEADER_LENGTH = 4_096

/** The names percent-encoded and separated by commas; `...` stands for those that do not fit. */
function toHeader(names: readonly string[]): string {
  let header = ''
  for (const name of names) {
    const next = `${header === '' ? '' : `${header}, `}${encodeURIComponent(name)}`
    if (next.length > MAX_HEADER_LENGTH) return header === '' ? '...' : `${header}, ...`
    header = next
  }
  return header
}

/** Starting a conversation, with or without a first message in the same request. */
export function createRoutes(deps: {
  database: Database
  starter: ConversationStarter
  turns: TurnService
  conversations: Pick<ConversationService, 'getWithMessages'>
}): FastifyPluginAsyncTypebox {
  const { database, starter, turns, conversations } = deps

  async function answer(request: StartRequest, reply: FastifyReply, started: StartedConversation) {
    const { message, stream } = request.body
    const { conversation, unresolved } = started
    if (unresolved.length > 0) {
      reply.header('x-dramatis-unresolved-variables', toHeader(unresolved))
    }
    if (conversation.dataspaceIds && conversation.dataspaceIds.length > 0) reply.header('warning', WARNING)
    if (!message) {
      await database.write(started.statements)
      return toConversationDto(conversation, started.messages)
    }

    const { organizationId } = request.caller
    const turn = await turns.startWith(started, { organizationId, text: message, requestId: request.id })
    if (stream) {
      const taken = { ...conversation, isStarted: true, messageCount: conversation.messageCount + 1 }
      const dto = toConversationDto(taken, [...started.messages, turn.userMessage])
      const preamble = sseEvent(JSON.stringify(dto), { event: 'conversation' })
      await streamReply(reply, turn, { format: 'sse', from: 0, preamble, headersAfterMs: HEADERS_AFTER_MS })
      return reply
    }
    reply.header('x-dramatis-run-id', turn.runId)
    const end = await turn.ended
    const error = end.finishReason === 'error' ? errorOf(turn, end) : failureBeforeText(turn)
    if (error) throw error
    const after = await conversations.getWithMessages(organizationId, conversation.id)
    return toConversationDto(after.conversation, after.messages, after.feedback)
  }

  return async (app) => {
    const config = { scope: 'conversations:write' } as const
    const description =
      'With `message` the first user message is sent in the same request: the reply is in `chatMessages`, or streams ' +
      'as server-sent events with `stream: true`, after an event `conversation`.'

    app.post(
      '/conversations/persona',
      {
        config,
        schema: {
          ...{ tags, description, summary: 'Start a conversation with a persona' },
          body: CreatePersonaConversationRequest,
          response: answers(ConversationDto),
        },
      },
      async (request, reply) => {
        const start = toPersonaStart(request.caller.organizationId, request.body)
        return answer(request, reply, await starter.fromPersona(start))
      },
    )

    app.post(
      '/conversations',
      {
        config,
        schema: {
          ...{ tags, description, summary: 'Start a conversation without a persona' },
          body: CreateConversationRequest,
          response: answers(ConversationDto),
        },
      },
      async (request, reply) => {
        const start = toGeneralStart(request.caller.organizationId, request.body)
        return answer(request, reply, await starter.general(start))
      },
    )
  }
}

type StartRequest = Pick<FastifyRequest, 'caller' | 'id'> & {
  body: { message?: string | null; stream?: boolean | null }
}

import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply } from 'fastify'
import { answers, answersAs, Uuid } from '../../../http/schemas.ts'
import { Type } from '../../../lib/schema.ts'
import type { AttachmentInputs } from '../../attachments/attachment-schemas.ts'
import { givenIn } from '../../attachments/attachment-wire.ts'
import type { ReadableRun } from '../reply/readable-run.ts'
import type { RunService } from '../run-service.ts'
import type { TurnService } from '../turn-service.ts'
import { streamReply } from './reply-stream.ts'
import {
  answerWhole,
  beginOnce,
  originOf,
  SendOptions,
  type TurnHttpRequest,
  TurnOptions,
  wantsEvents,
} from './turn-request.ts'
import {
  ChatResponse,
  EditedMessage,
  Events,
  OF_A_TURN,
  StreamItem,
  UserMessage,
  WHOLE_OR_EVENTS,
} from './turn-schemas.ts'

const tags = ['Turns']
const Path = Type.Object({ conversationId: Uuid })
const MessagePath = Type.Object({ conversationId: Uuid, messageId: Uuid })

/** Continuing a conversation in three ways, and trying again. */
export function turnRoutes(deps: { turns: TurnService; runs: RunService }): FastifyPluginAsyncTypebox {
  const { turns, runs } = deps

  function stream(format: 'sse' | 'array', request: { query: TurnOptions }, reply: FastifyReply, run: ReadableRun) {
    return streamReply(reply, run, { format, from: 0, reasoning: request.query.reasoning })
  }

  function send(request: SendRequest, reply: FastifyReply): Promise<ReadableRun> {
    const { params, body, query } = request
    const id = params.conversationId.toLowerCase()
    return beginOnce(runs, request, reply, () => {
      const message = { ...originOf(request), text: body.message, given: givenIn(body) }
      return turns.send(id, message, query.onBusy ?? 'reject')
    })
  }

  return async (app) => {
    const method = ['PATCH', 'POST'] as const
    const config = {
      scope: 'conversations:write',
      isNewWork: true,
      mayLast: true,
      idempotency: { keeps: 'run' },
    } as const
    const configOfSending = { ...config, idempotency: { operation: 'send', keeps: 'run' } } as const
    const sending = { tags, params: Path, querystring: SendOptions, body: UserMessage }
    const url = (name: string) => `/conversations/:conversationId/${name}`

    for (const name of ['chat', 'continue-sync']) {
      app.route({
        method: [...method],
        url: url(name),
        config: configOfSending,
        schema: { ...sending, summary: 'Continue, whole reply at once', response: answers(ChatResponse, ...OF_A_TURN) },
        handler: async (request, reply) => answerWhole(request, reply, await send(request, reply)),
      })
    }

    for (const name of ['chat-sse', 'continue-sse']) {
      app.route({
        method: [...method],
        url: url(name),
        config: configOfSending,
        schema: {
          ...sending,
          summary: 'Continue, the reply as server-sent events',
          response: answersAs<string>({ 'text/event-stream': Events }, ...OF_A_TURN),
        },
        handler: async (request, reply) => stream('sse', request, reply, await send(request, reply)),
      })
    }

    for (const name of ['chat-http2', 'continue']) {
      app.route({
        method: [...method],
        url: url(name),
        config: configOfSending,
        schema: {
          ...sending,
          summary: 'Continue, the reply as a JSON array that is written as it grows',
          description: 'Each item is a `GenAiStreamingChatChoice` with the new text only.',
          response: answers(Type.Array(StreamItem), ...OF_A_TURN),
        },
        handler: async (request, reply) => stream('array', request, reply, await send(request, reply)),
      })
    }

    const twoWays = 'The reply at once, or as server-sent events where the request accepts `text/event-stream`.'

    app.post(
      '/conversations/:conversationId/regenerate',
      {
        config,
        schema: {
          tags,
          params: Path,
          querystring: TurnOptions,
          summary: 'Replace the last reply',
          description: `The old reply stays until there is a new one, and is kept beside the conversation. ${twoWays}`,
          response: answersAs<ChatResponse>(WHOLE_OR_EVENTS, ...OF_A_TURN),
        },
      },
      async (request, reply) => {
        const id = request.params.conversationId.toLowerCase()
        const run = await beginOnce(runs, request, reply, () => turns.regenerate(id, originOf(request)))
        return wantsEvents(request) ? stream('sse', request, reply, run) : answerWhole(request, reply, run)
      },
    )

    app.patch(
      '/conversations/:conversationId/messages/:messageId',
      {
        config,
        schema: {
          tags,
          params: MessagePath,
          querystring: TurnOptions,
          body: EditedMessage,
          summary: 'Change a message of the user',
          description: `The old message and all that followed it are kept beside the conversation, which goes on from here. ${twoWays}`,
          response: answersAs<ChatResponse>(WHOLE_OR_EVENTS, ...OF_A_TURN),
        },
      },
      async (request, reply) => {
        const { conversationId, messageId } = request.params
        const { body } = request
        const run = await beginOnce(runs, request, reply, () => {
          const edited = { ...originOf(request), text: body.content, given: givenIn(body) }
          return turns.edit(conversationId.toLowerCase(), messageId.toLowerCase(), edited)
        })
        return wantsEvents(request) ? stream('sse', request, reply, run) : answerWhole(request, reply, run)
      },
    )
  }
}

type SendRequest = TurnHttpRequest & {
  params: { conversationId: string }
  query: SendOptions
  body: { message: string; attachments?: AttachmentInputs }
}

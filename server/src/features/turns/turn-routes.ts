import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { answers, answersNothing, Uuid } from '../../http/schemas.ts'
import type { Clock } from '../../lib/clock.ts'
import { failureBeforeText, HEADERS_AFTER_MS, streamReply } from './reply-stream.ts'
import type { LiveTurn } from './turn-runner.ts'
import { CancelReceipt, ChatResponse, StreamItem, UserMessage } from './turn-schemas.ts'
import type { TurnService } from './turn-service.ts'
import { errorOf, toChatResponse, toUsageDto } from './turn-wire.ts'

const tags = ['Turns']
const Path = Type.Object({ conversationId: Uuid })
const RunPath = Type.Object({ conversationId: Uuid, runId: Uuid })

/** Continuing a conversation in three ways, cancelling, and deleting with what is under way. */
export function turnRoutes(deps: { turns: TurnService; clock: Clock }): FastifyPluginAsyncTypebox {
  const { turns, clock } = deps

  const send = (request: SendRequest): Promise<LiveTurn> =>
    turns.send(request.params.conversationId.toLowerCase(), {
      organizationId: request.caller.organizationId,
      text: request.body.message,
      requestId: request.id,
    })

  return async (app) => {
    const method = ['PATCH', 'POST'] as const
    const config = { scope: 'conversations:write' } as const
    const sending = { tags, params: Path, body: UserMessage }

    for (const url of ['/conversations/:conversationId/chat', '/conversations/:conversationId/continue-sync']) {
      app.route({
        ...{ method: [...method], url, config },
        schema: { ...sending, summary: 'Continue, whole reply at once', response: answers(ChatResponse) },
        handler: async (request, reply) => answerWhole(request, reply, await send(request), clock),
      })
    }

    for (const url of ['/conversations/:conversationId/chat-sse', '/conversations/:conversationId/continue-sse']) {
      app.route({
        ...{ method: [...method], url, config },
        schema: {
          ...sending,
          summary: 'Continue, the reply as server-sent events',
          description: 'Each event is a `GenAiStreamingChatChoice` with the new text only; the end is `data: [DONE]`.',
          response: answers(StreamItem),
        },
        handler: async (request, reply) => {
          await streamReply(reply, await send(request), { format: 'sse', from: 0, headersAfterMs: HEADERS_AFTER_MS })
        },
      })
    }

    for (const url of ['/conversations/:conversationId/chat-http2', '/conversations/:conversationId/continue']) {
      app.route({
        ...{ method: [...method], url, config },
        schema: {
          ...sending,
          summary: 'Continue, the reply as a JSON array that is written as it grows',
          description: 'Each item is a `GenAiStreamingChatChoice` with the new text only.',
          response: answers(Type.Array(StreamItem)),
        },
        handler: async (request, reply) => {
          await streamReply(reply, await send(request), { format: 'array', from: 0, headersAfterMs: HEADERS_AFTER_MS })
        },
      })
    }

    app.post(
      '/conversations/:conversationId/runs/:runId/cancel',
      {
        config,
        schema: {
          tags,
          summary: 'Cancel a run',
          description: 'The text so far is kept.',
          params: RunPath,
          response: answers(CancelReceipt),
        },
      },
      async (request) => {
        const { usage, ...receipt } = await turns.cancel({
          organizationId: request.caller.organizationId,
          conversationId: request.params.conversationId.toLowerCase(),
          runId: request.params.runId.toLowerCase(),
        })
        return { ...receipt, usage: toUsageDto(usage) }
      },
    )

    app.delete(
      '/conversations/:conversationId',
      {
        config,
        schema: {
          tags: ['Conversations'],
          summary: 'Delete a conversation',
          description: 'A turn that is running on it is cancelled.',
          params: Path,
          response: answersNothing,
        },
      },
      async (request, reply) => {
        const { organizationId } = request.caller
        await turns.removeConversation(organizationId, request.params.conversationId.toLowerCase())
        return reply.code(204).send(null)
      },
    )
  }
}

type SendRequest = Pick<FastifyRequest, 'caller' | 'id'> & {
  params: { conversationId: string }
  body: { message: string }
}

async function answerWhole(request: { id: string }, reply: FastifyReply, turn: LiveTurn, clock: Clock) {
  reply.header('x-dramatis-run-id', turn.runId)
  const end = await turn.ended
  const error = end.finishReason === 'error' ? errorOf(turn, end) : failureBeforeText(turn)
  if (error) throw error
  return toChatResponse(turn, end, { httpRequestId: request.id, at: clock() })
}

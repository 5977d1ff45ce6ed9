import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE } from '../../../http/answers/pagination.ts'
import { type Pieces, pageOf, sendJson } from '../../../http/answers/pieces.ts'
import { AnyObject, answers, Named, NullableText, NullableUuid, Timestamp, Uuid } from '../../../http/schemas.ts'
import { Type } from '../../../lib/schema.ts'
import type { WaitingCall } from '../run/waiting-call-queries.ts'
import type { ApprovalList } from './approval-list.ts'

const ListQuery = Type.Object({
  pageSize: Type.Optional(Type.Integer({ minimum: 1, maximum: MAX_PAGE_SIZE })),
  continuationToken: Type.Optional(Type.String({ maxLength: 200 })),
})
const WaitingCallDto = Named('WaitingCall', {
  conversationId: Uuid,
  runId: Uuid,
  toolCallId: Type.String(),
  name: Type.String({ description: 'Of the tool.' }),
  input: AnyObject,
  waitingSince: Timestamp,
  expiresAt: Type.String({ format: 'date-time', description: 'Then the call is not made.' }),
  personaId: NullableUuid,
  externalUserId: NullableText(),
})
const WaitingCallPage = Named('WaitingCallPage', {
  data: Type.Array(WaitingCallDto),
  continuationToken: NullableText(),
})

/** `/approvals`: what waits for somebody to decide. Deciding is in `tool-routes.ts`. */
export function approvalRoutes(approvals: ApprovalList): FastifyPluginAsyncTypebox {
  return async (app) => {
    app.get(
      '/approvals',
      {
        config: { scope: 'conversations:read' },
        schema: {
          tags: ['Tools'],
          querystring: ListQuery,
          summary: 'List the calls that wait for an approval, newest first',
          description:
            'Those of all conversations of the organization about which nobody has decided. `approve` and `reject` of the ' +
            'run decide.',
          response: answers(WaitingCallPage),
        },
      },
      async (request, reply) => {
        const { pageSize, continuationToken } = request.query
        const page = await approvals.list(request.caller.organizationId, {
          pageSize: pageSize ?? DEFAULT_PAGE_SIZE,
          continuationToken: continuationToken || null,
        })
        return sendJson(reply, pageOf(page, print))
      },
    )
  }
}

async function* print(call: WaitingCall): Pieces {
  const { conversationId, runId, toolCallId, name, input, personaId, externalUserId } = call
  yield JSON.stringify({
    conversationId,
    runId,
    toolCallId,
    name,
    input,
    waitingSince: new Date(call.createdAt).toISOString(),
    expiresAt: new Date(call.expiresAt).toISOString(),
    personaId,
    externalUserId,
  })
}

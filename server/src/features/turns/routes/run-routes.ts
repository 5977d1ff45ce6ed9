import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { badField } from '../../../errors.ts'
import { DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE } from '../../../http/answers/pagination.ts'
import { answers, answersAs, answersNothing, Uuid } from '../../../http/schemas.ts'
import { Type } from '../../../lib/schema.ts'
import type { RunService } from '../run-service.ts'
import type { RunStopper } from '../run-stopper.ts'
import { streamReply } from './reply-stream.ts'
import { toUsageDto } from './reply-wire.ts'
import { isReadToEnd } from './run-outcome.ts'
import { toRunDto } from './run-wire.ts'
import { WithReasoning } from './turn-request.ts'
import { CancelReceipt, Events, OF_A_TURN, RunDto, RunPage } from './turn-schemas.ts'

const tags = ['Turns']
const Path = Type.Object({ conversationId: Uuid })
const RunPath = Type.Object({ conversationId: Uuid, runId: Uuid })
const ListQuery = Type.Object({
  pageSize: Type.Optional(Type.Integer({ minimum: 1, maximum: MAX_PAGE_SIZE })),
  continuationToken: Type.Optional(Type.String({ maxLength: 200 })),
})
const EventsQuery = Type.Object({
  after: Type.Optional(
    Type.Integer({ minimum: -1, description: 'The number of the last event that is known; -1 for none.' }),
  ),
  reasoning: WithReasoning,
})

/** The runs of a conversation: their records, their events, and how to stop one. */
export function runRoutes(deps: { runs: RunService; stopper: RunStopper }): FastifyPluginAsyncTypebox {
  const { runs, stopper } = deps
  return async (app) => {
    app.get(
      '/conversations/:conversationId/runs',
      {
        config: { scope: 'conversations:read' },
        schema: {
          tags,
          params: Path,
          querystring: ListQuery,
          summary: 'List the runs of a conversation',
          response: answers(RunPage, 'not_found', 'gone'),
        },
      },
      async (request) => {
        const { pageSize, continuationToken } = request.query
        const page = await runs.list(request.caller.organizationId, {
          conversationId: request.params.conversationId.toLowerCase(),
          pageSize: pageSize ?? DEFAULT_PAGE_SIZE,
          continuationToken: continuationToken || null,
        })
        return { ...page, data: page.data.map(toRunDto) }
      },
    )

    app.get(
      '/conversations/:conversationId/runs/:runId',
      {
        config: { scope: 'conversations:read' },
        schema: {
          tags,
          params: RunPath,
          querystring: Type.Object({ reasoning: WithReasoning }),
          summary: 'Read the record of a run',
          response: answers(RunDto, 'not_found', 'gone'),
        },
      },
      async (request) => {
        const key = keyOf(request)
        const { run } = await runs.get(key)
        if (!request.query.reasoning) return toRunDto(run)
        return { ...toRunDto(run), reasoning: await runs.thoughtsOf(key) }
      },
    )

    app.get(
      '/conversations/:conversationId/runs/:runId/events',
      {
        config: { scope: 'conversations:read', mayLast: true },
        schema: {
          tags,
          params: RunPath,
          querystring: EventsQuery,
          summary: 'Read the events of a run, or the rest of them',
          description:
            'The same server-sent events as the first time, behind `Last-Event-ID` or `after`: what is there at once, ' +
            'and what is still to come as it comes. 204 for a `Last-Event-ID` behind which nothing is to come.',
          response: {
            ...answersAs<string>({ 'text/event-stream': Events }, ...OF_A_TURN),
            ...answersNothing(),
          },
        },
      },
      async (request, reply) => {
        const key = keyOf(request)
        const known = lastEventId(key.runId, request.headers['last-event-id'])
        const from = (known ?? request.query.after ?? -1) + 1
        const { reasoning } = request.query
        const run = await runs.read(key)
        // What tells an EventSource not to come back, which it does after each end of a stream.
        if (known !== null && isReadToEnd(run, from, reasoning === true)) {
          return reply.header('x-dramatis-run-id', run.runId).code(204).send(null)
        }
        await streamReply(reply, run, { format: 'sse', from, reasoning })
        return reply
      },
    )

    app.post(
      '/conversations/:conversationId/runs/:runId/cancel',
      {
        // Nothing changes when it is done again, so there is nothing that must happen once.
        config: { scope: 'conversations:write', idempotency: { keeps: 'answer' } },
        schema: {
          tags,
          summary: 'Cancel a run',
          description: 'The text so far is kept.',
          params: RunPath,
          response: answers(CancelReceipt, 'not_found', 'gone'),
        },
      },
      async (request) => {
        const { usage, ...receipt } = await stopper.cancel(keyOf(request))
        return { ...receipt, usage: toUsageDto(usage) }
      },
    )
  }
}

function keyOf(request: { caller: { organizationId: string }; params: { conversationId: string; runId: string } }) {
  return {
    organizationId: request.caller.organizationId,
    conversationId: request.params.conversationId.toLowerCase(),
    runId: request.params.runId.toLowerCase(),
  }
}

/**
 * The number of the last event that a reader has, as a browser sends it when it comes back: it counts more than `after` in
 * the address, which stays the same each time. Null without the header. Throws 400 for a place that is not in this run.
 */
function lastEventId(runId: string, header: string | string[] | undefined): number | null {
  if (header === undefined || header === '') return null
  const [, run, n] = /^([0-9a-f-]{36}):(\d{1,9})$/i.exec(String(header)) ?? []
  if (run?.toLowerCase() !== runId) throw badField('Last-Event-ID', 'is not the id of an event of this run')
  return Number(n)
}

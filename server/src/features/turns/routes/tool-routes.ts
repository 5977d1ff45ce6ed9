import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { badField } from '../../../errors.ts'
import { AnyJson, answers, answersAs, Named, NullableText, Uuid } from '../../../http/schemas.ts'
import type { JsonValue } from '../../../lib/json.ts'
import { Type } from '../../../lib/schema.ts'
import type { ToolAnswer } from '../accepting/tool-answers.ts'
import type { RunService } from '../run-service.ts'
import type { Approvals } from '../running/approvals.ts'
import { presentable } from '../running/tool-execution.ts'
import type { TurnService } from '../turn-service.ts'
import { streamReply } from './reply-stream.ts'
import { answerWhole, beginOnce, originOf, TurnOptions, wantsEvents } from './turn-request.ts'
import { type ChatResponse, OF_A_TURN, WHOLE_OR_EVENTS } from './turn-schemas.ts'

const tags = ['Tools']
const Path = Type.Object({ conversationId: Uuid })
const RunPath = Type.Object({ conversationId: Uuid, runId: Uuid })

const Result = Type.Object({
  toolCallId: Type.String({ minLength: 1, maxLength: 256 }),
  content: Type.Optional({ ...AnyJson, description: 'Text, or JSON that the model gets as text.' }),
  error: Type.Optional(NullableText(100_000)),
})
const ToolResults = Named('ToolResults', { results: Type.Array(Result, { minItems: 1, maxItems: 64 }) })

const Call = Named('ToolDecisionRequest', { toolCallId: Type.String({ minLength: 1, maxLength: 256 }) })
const DecisionDto = Named('ToolDecision', { runId: Uuid, toolCallId: Type.String(), decision: Type.String() })
const WAYS = [
  ['approve', 'approved', 'Allow a call that a run waits for'],
  ['reject', 'rejected', 'Refuse a call that a run waits for'],
] as const

/** What callers do for the tools of a reply: give the results of those that they run, and allow or refuse others. */
export function toolRoutes(deps: {
  turns: TurnService
  runs: RunService
  approvals: Pick<Approvals, 'decide'>
}): FastifyPluginAsyncTypebox {
  const { turns, runs, approvals } = deps
  return async (app) => {
    app.post(
      '/conversations/:conversationId/tool-results',
      {
        config: { scope: 'conversations:write', isNewWork: true, mayLast: true, idempotency: { keeps: 'run' } },
        schema: {
          tags,
          params: Path,
          querystring: TurnOptions,
          body: ToolResults,
          summary: 'Give the results of the tools that you run',
          description:
            'For a reply that has ended with `tool_calls`: each of its calls needs a result. The reply goes on, whole at ' +
            'once, or as server-sent events where the request accepts `text/event-stream`.',
          response: answersAs<ChatResponse>(WHOLE_OR_EVENTS, ...OF_A_TURN),
        },
      },
      async (request, reply) => {
        const id = request.params.conversationId.toLowerCase()
        const given = request.body.results.map(toAnswer)
        const run = await beginOnce(runs, request, reply, () => turns.answerTools(id, originOf(request), given))
        if (!wantsEvents(request)) return answerWhole(request, reply, run)
        return streamReply(reply, run, { format: 'sse', from: 0, reasoning: request.query.reasoning })
      },
    )

    for (const [name, decision, summary] of WAYS) {
      app.post(
        `/conversations/:conversationId/runs/:runId/${name}`,
        {
          config: { scope: 'conversations:write', idempotency: { keeps: 'answer' } },
          schema: {
            tags,
            summary,
            params: RunPath,
            body: Call,
            response: answers(DecisionDto, 'not_found', 'gone', 'conflict'),
          },
        },
        async (request) => {
          const { organizationId } = request.caller
          const [conversationId, runId] = [
            request.params.conversationId.toLowerCase(),
            request.params.runId.toLowerCase(),
          ]
          const { toolCallId } = request.body
          const key = { organizationId, conversationId, runId }
          await runs.get(key)
          await approvals.decide(key, toolCallId, decision)
          return { runId, toolCallId, decision }
        },
      )
    }
  }
}

function toAnswer(result: { toolCallId: string; content?: JsonValue; error?: string | null }, i: number): ToolAnswer {
  const { toolCallId, content, error } = result
  if (typeof error === 'string') return { toolCallId, content: presentable(`Error: ${error}`) }
  if (content === undefined) throw badField(`results.${i}`, 'must have content or error')
  return { toolCallId, content: presentable(typeof content === 'string' ? content : JSON.stringify(content)) }
}

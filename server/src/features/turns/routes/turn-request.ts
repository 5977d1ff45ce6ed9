import type { FastifyReply, FastifyRequest } from 'fastify'
import { AppError } from '../../../errors.ts'
import { isGone } from '../../../http/answers/raw-stream.ts'
import { type Static, Type } from '../../../lib/schema.ts'
import { type KnownClaim, once } from '../../idempotency/claim.ts'
import { REPLAYED } from '../../idempotency/idempotency-hooks.ts'
import type { LiveTurn, ReadableRun } from '../reply/readable-run.ts'
import type { OnCrash } from '../run/run.ts'
import type { RunService } from '../run-service.ts'
import type { TurnOrigin } from '../turn.ts'
import type { OnBusy } from '../turn-service.ts'
import { toChatResponse } from './reply-wire.ts'
import { endOf, failureOfWhole } from './run-outcome.ts'

const Choice = <T extends string>(values: readonly [T, ...T[]], description: string) =>
  Type.Optional(Type.Unsafe<T>({ type: 'string', enum: [...values], default: values[0], description }))

export const WithReasoning = Type.Optional(
  Type.Boolean({
    description: 'Shows what the model thinks: in streams as items of their own, which count among the numbers.',
  }),
)

/** How a turn behaves when something comes in its way: query parameters, the first of each is the default. */
export const TurnOptions = Type.Object({
  onDisconnect: Choice(['continue', 'cancel'], 'What becomes of the turn when the connection breaks.'),
  onCrash: Choice<OnCrash>(['keep', 'restart'], 'What becomes of a turn without text when the server dies.'),
  reasoning: WithReasoning,
})
export const SendOptions = Type.Object({
  onBusy: Choice<OnBusy>(['reject', 'wait', 'interrupt'], 'What to do while another turn runs on the conversation.'),
  ...TurnOptions.properties,
})
export type TurnOptions = Static<typeof TurnOptions>
export type SendOptions = Static<typeof SendOptions>

/** A request that begins a run; one with an `Idempotency-Key` begins it once. */
export type TurnHttpRequest = Pick<FastifyRequest, 'caller' | 'id' | 'keyed' | 'isReplay'> & { query: TurnOptions }

/** Who asks for a turn, and how it shall behave. */
export function originOf(request: TurnHttpRequest): TurnOrigin {
  const { organizationId, keyId, dailyTokens } = request.caller
  const onCrash = request.query.onCrash ?? 'keep'
  return { organizationId, keyId, dailyTokens, requestId: request.id, onCrash, claim: request.keyed?.claim ?? null }
}

/** The whole reply at once. Throws what the run has failed with. */
export async function answerWhole(request: { id: string; query: TurnOptions }, reply: FastifyReply, run: ReadableRun) {
  reply.header('x-dramatis-run-id', run.runId)
  const end = await endOf(run)
  tellWarnings(reply, run)
  const error = failureOfWhole(run, end)
  if (error) throw error
  return toChatResponse(run, end, request.id, request.query.reasoning ?? false)
}

/** Says in the header `warning` what there is to say about a run besides its reply. */
export function tellWarnings(reply: FastifyReply, { warnings = [] }: ReadableRun): void {
  if (warnings.length === 0) return
  const told = reply.getHeader('warning')
  const ours = warnings.map((warning) => `299 dramatis "${warning}"`)
  reply.header('warning', [...(told === undefined ? [] : [told]), ...ours].join(', '))
}

/** Whether a reply that can come in two ways is to come as server-sent events. */
export function wantsEvents(request: { headers: { accept?: string | undefined } }): boolean {
  return /\btext\/event-stream\b/i.test(request.headers.accept ?? '')
}

/** Makes the turn stop when its caller goes away before the end, if the caller has asked for that. */
export function cancelOnDisconnect(request: TurnHttpRequest, reply: FastifyReply, turn: LiveTurn): void {
  if (request.query.onDisconnect !== 'cancel') return
  const stop = () => {
    // Not writableFinished: with HTTP/2 that is true of a stream that the client has reset.
    if (!reply.raw.writableEnded) turn.cancel()
  }
  if (isGone(reply)) stop()
  else reply.raw.once('close', stop)
}

/**
 * The run that a request begins; for one that was sent before, the run that it began then. That one is not stopped when
 * the connection breaks: it belongs to the connection that began it.
 */
export function beginOnce(
  runs: Pick<RunService, 'read'>,
  request: TurnHttpRequest,
  reply: FastifyReply,
  begin: () => Promise<LiveTurn>,
): Promise<ReadableRun> {
  const start = async () => {
    const turn = await begin()
    cancelOnDisconnect(request, reply, turn)
    return turn
  }
  return once<ReadableRun>(request.keyed, start, (known) => attach(runs, request, reply, known))
}

/** The run of an earlier request with the same `Idempotency-Key`, under way or ended. Throws 404 and 410. */
export function attach(
  runs: Pick<RunService, 'read'>,
  request: TurnHttpRequest,
  reply: FastifyReply,
  { conversationId, runId, headers }: KnownClaim,
): Promise<ReadableRun> {
  if (conversationId === null || runId === null) {
    throw new AppError('internal_error', 'the claim of the Idempotency-Key names no run')
  }
  request.isReplay = true
  reply.headers(headers).header(REPLAYED, 'true')
  return runs.read({ organizationId: request.caller.organizationId, conversationId, runId })
}

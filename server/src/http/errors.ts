import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { AppError, type ErrorDetail, isPresentable } from '../errors.ts'
import { setSafeHeaders } from './answers/safe-headers.ts'
import { PATIENCE } from './connections/patience.ts'
import { refuseBody } from './connections/unread-bodies.ts'
import { showQuota } from './limits/rate-limit.ts'
import { detailsOf } from './requests/validation.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** The limit that refused it, for the log and the metrics. */
    refusedBy: string | null
  }
}

/** The body of every answer that is not a success (contract, section 3). */
export type ErrorBody = {
  error: { code: string; message: string; details: ErrorDetail[]; conversationId?: string; runId?: string }
}

/** Turns whatever was thrown into the contract's error body. Only here does an error become bytes. */
export function answerErrors(app: FastifyInstance): void {
  app.decorateRequest('refusedBy', null)
  app.setErrorHandler((error: FastifyError, request, reply) => sendError(error, request, reply))
  app.setNotFoundHandler((request, reply) => {
    const path = request.url.split('?')[0]
    return sendError(new AppError('not_found', `there is no ${request.method} ${path}`), request, reply)
  })
}

/** Answers with an error on a reply that has not begun. */
export function sendError(error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const known = toAppError(error)
  if (known.status === 500) request.log.error({ err: error }, 'request failed')
  else if (known.status === 503) request.log.warn({ err: error }, 'unavailable')
  // A path that the router cannot read gets here without having passed the hook that sets it.
  reply.header('x-request-id', request.id)
  setSafeHeaders(reply)
  // Whoever is refused may still be sending.
  refuseBody(request, reply, (request.server.patience ?? PATIENCE).lingerMs)
  if (known.retryAfterMs !== undefined) reply.header('retry-after', Math.max(1, Math.ceil(known.retryAfterMs / 1_000)))
  if (known.quota) showQuota(reply, known.quota)
  request.refusedBy = known.refusedBy ?? null
  return reply.code(known.status).type('application/json; charset=utf-8').send(toErrorBody(known))
}

/** The contract's shape of an error. */
export function toErrorBody(error: AppError): ErrorBody {
  const body: ErrorBody['error'] = { code: error.code, message: error.message, details: error.details }
  if (error.conversationId !== undefined) body.conversationId = error.conversationId
  if (error.runId !== undefined) body.runId = error.runId
  return { error: body }
}

/** What a caller may know of `error`; of an unexpected one that is nothing but that it happened. */
export function toAppError(error: unknown): AppError {
  if (error instanceof AppError) return error
  if (isPresentable(error)) return error.toAppError()
  const failure = error as Partial<FastifyError>
  if (failure?.validation) {
    const details = detailsOf(
      failure.validation as Parameters<typeof detailsOf>[0],
      failure.validationContext ?? 'body',
    )
    const first = details[0]
    return new AppError('bad_request', first ? `${first.field} ${first.issue}` : 'the request is invalid', { details })
  }
  if (failure?.statusCode === 413)
    return new AppError('payload_too_large', 'the body is larger than this server takes: see DRAMATIS_BODY_LIMIT')
  if (failure?.statusCode === 415) return new AppError('unsupported_media_type', 'the body must be JSON')
  if (failure?.statusCode !== undefined && failure.statusCode >= 400 && failure.statusCode < 500) {
    return new AppError('bad_request', failure.message ?? 'the request is invalid')
  }
  return new AppError('internal_error', 'something went wrong; the log has it under the request id', { cause: error })
}

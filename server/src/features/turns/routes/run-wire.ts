import type { Static } from 'typebox'
import { type Run, reasoningTokensOf } from '../run/run.ts'
import { toUsageDto } from './reply-wire.ts'
import type { RunDto } from './turn-schemas.ts'

/** A run's record as callers see it; times are ISO 8601, durations milliseconds. */
export function toRunDto(run: Run): Static<typeof RunDto> {
  const since = (at: number | null) => (at === null || run.startedAt === null ? null : at - run.startedAt)
  return {
    runId: run.id,
    conversationId: run.conversationId,
    kind: run.kind,
    status: run.status,
    finishReason: run.finishReason,
    userMessageId: run.userMessageId,
    messageId: run.replyMessageId,
    aiSystem: run.aiSystem,
    model: run.model,
    usage: toUsageDto(run.usage, reasoningTokensOf(run.attempts).reasoningTokens),
    isUsageEstimated: run.isUsageEstimated,
    context: run.context,
    createdAt: toIso(run.createdAt) as string,
    startedAt: toIso(run.startedAt),
    firstTokenAt: toIso(run.firstTokenAt),
    endedAt: toIso(run.endedAt),
    timeToFirstTokenMs: since(run.firstTokenAt),
    durationMs: since(run.endedAt),
    restarts: run.restarts,
    attempts: run.attempts.map((attempt) => ({
      aiSystem: attempt.aiSystem,
      model: attempt.model,
      outcome: attempt.outcome,
      error: attempt.error,
      startedAt: toIso(attempt.startedAt) as string,
      firstTokenAt: toIso(attempt.firstTokenAt),
      endedAt: toIso(attempt.endedAt) as string,
      usage: attempt.usage && toUsageDto(attempt.usage, attempt.usage.reasoningTokens),
      finishReason: attempt.finishReason ?? null,
    })),
    error: run.error && { code: run.error.code, message: run.error.message },
  }
}

function toIso(at: number | null): string | null {
  return at === null ? null : new Date(at).toISOString()
}

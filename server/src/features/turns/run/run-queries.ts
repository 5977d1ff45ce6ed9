import type { Selectable } from 'kysely'
import type { ConversationKey } from '../../../lib/conversation-key.ts'
import { parseExactly } from '../../../lib/exact-json.ts'
import type { Database } from '../../../storage/database.ts'
import { type Parameters, prepareRead, prepareWrite } from '../../../storage/prepare.ts'
import type { Schema } from '../../../storage/schema.ts'
import type { FinishReason, OnCrash, Run, RunFailure, RunKey, RunKind } from './run.ts'
import type { RunStatus } from './run-state.ts'

type RunRow = Selectable<Schema['run']>

export const insertRun = prepareWrite(
  (
    db,
    p: Parameters<
      RunKey & {
        userMessageId: string
        replyMessageId: string
        status: RunStatus
        aiSystem: string
        model: string
        requestId: string | null
        kind: RunKind
        onCrash: OnCrash
        claimId: string | null
        apiKeyId: string | null
        budgetDay: string | null
        reservedTokens: number
        at: number
        startedAt: number | null
      }
    >,
  ) =>
    db.insertInto('run').values({
      organization_id: p('organizationId'),
      conversation_id: p('conversationId'),
      id: p('runId'),
      user_message_id: p('userMessageId'),
      reply_message_id: p('replyMessageId'),
      status: p('status'),
      ai_system: p('aiSystem'),
      model: p('model'),
      attempts: '[]',
      request_id: p('requestId'),
      kind: p('kind'),
      on_crash: p('onCrash'),
      restarts: 0,
      claim_id: p('claimId'),
      api_key_id: p('apiKeyId'),
      budget_day: p('budgetDay'),
      reserved_tokens: p('reservedTokens'),
      prompt_tokens: 0,
      completion_tokens: 0,
      usage_is_estimated: 0,
      created_at: p('at'),
      started_at: p('startedAt'),
    }),
  { isIndependent: true },
)

export const endRun = prepareWrite(
  (
    db,
    p: Parameters<
      RunKey & {
        status: RunStatus
        aiSystem: string
        model: string
        attempts: string
        finishReason: FinishReason
        error: string | null
        promptTokens: number
        completionTokens: number
        isUsageEstimated: 0 | 1
        context: string | null
        eventLengths: string
        firstTokenAt: number | null
        endedAt: number
      }
    >,
  ) =>
    db
      .updateTable('run')
      .set({
        status: p('status'),
        ai_system: p('aiSystem'),
        model: p('model'),
        attempts: p('attempts'),
        finish_reason: p('finishReason'),
        error: p('error'),
        prompt_tokens: p('promptTokens'),
        completion_tokens: p('completionTokens'),
        usage_is_estimated: p('isUsageEstimated'),
        context: p('context'),
        event_lengths: p('eventLengths'),
        first_token_at: p('firstTokenAt'),
        ended_at: p('endedAt'),
      })
      .where('organization_id', '=', p('organizationId'))
      .where('conversation_id', '=', p('conversationId'))
      .where('id', '=', p('runId')),
  { isIndependent: true },
)

/** The place of a waiting run has come. */
export const startRun = prepareWrite((db, p: Parameters<RunKey & { status: RunStatus; at: number }>) =>
  db
    .updateTable('run')
    .set({ status: p('status'), started_at: p('at') })
    .where('organization_id', '=', p('organizationId'))
    .where('conversation_id', '=', p('conversationId'))
    .where('id', '=', p('runId')),
)

export const countRestart = prepareWrite((db, p: Parameters<RunKey>) =>
  db
    .updateTable('run')
    .set((eb) => ({ restarts: eb('restarts', '+', 1) }))
    .where('organization_id', '=', p('organizationId'))
    .where('conversation_id', '=', p('conversationId'))
    .where('id', '=', p('runId')),
)

const selectRun = prepareRead((db, p: Parameters<RunKey>) =>
  db
    .selectFrom('run')
    .selectAll()
    .where('organization_id', '=', p('organizationId'))
    .where('conversation_id', '=', p('conversationId'))
    .where('id', '=', p('runId')),
)

export type FoundRun = {
  run: Run
  /** Where its events begin and end, as `event-lengths.ts` writes it; null while the run is under way. */
  eventLengths: string | null
}

/** Undefined if the conversation has no such run. */
export async function findRun(database: Database, key: RunKey): Promise<FoundRun | undefined> {
  const row = (await selectRun(database, key))[0]
  return row && { run: toRun(row), eventLengths: row.event_lengths }
}

/** Runs of a conversation, newest first, behind the id `after`. */
export async function findRuns(
  database: Database,
  key: ConversationKey,
  after: string | null,
  limit: number,
): Promise<Run[]> {
  let query = database.dialect.builder
    .selectFrom('run')
    .selectAll()
    .where('organization_id', '=', key.organizationId)
    .where('conversation_id', '=', key.conversationId)
    .orderBy('id', 'desc')
    .limit(limit)
  if (after !== null) query = query.where('id', '<', after)
  return (await database.scan(query.compile(), key.organizationId)).map(toRun)
}

function toRun(row: RunRow): Run {
  return {
    id: row.id,
    conversationId: row.conversation_id,
    userMessageId: row.user_message_id,
    replyMessageId: row.reply_message_id,
    status: row.status as RunStatus,
    aiSystem: row.ai_system,
    model: row.model,
    kind: row.kind as RunKind,
    onCrash: row.on_crash as OnCrash,
    restarts: row.restarts,
    claimId: row.claim_id,
    apiKeyId: row.api_key_id,
    budget:
      row.api_key_id === null || row.budget_day === null
        ? null
        : { apiKeyId: row.api_key_id, day: row.budget_day, reservedTokens: row.reserved_tokens },
    attempts: JSON.parse(row.attempts) as Run['attempts'],
    finishReason: row.finish_reason as FinishReason | null,
    error: row.error === null ? null : (JSON.parse(row.error) as RunFailure),
    usage: { promptTokens: row.prompt_tokens, completionTokens: row.completion_tokens },
    isUsageEstimated: row.usage_is_estimated === 1,
    context: row.context === null ? null : (parseExactly(row.context) as unknown as Run['context']),
    createdAt: row.created_at,
    startedAt: row.started_at,
    firstTokenAt: row.first_token_at,
    endedAt: row.ended_at,
  }
}

import type { Selectable } from 'kysely'
import type { Database } from '../../storage/database.ts'
import { type Parameters, prepareRead, prepareWrite } from '../../storage/prepare.ts'
import type { Schema } from '../../storage/schema.ts'
import { decodeLengths } from './event-lengths.ts'
import type { FinishReason, Run, RunFailure, RunKey } from './run.ts'
import type { RunStatus } from './turn-state.ts'

type RunRow = Selectable<Schema['run']>
type ConversationKey = { organizationId: string; conversationId: string }

/** The primary key that makes a second turn on a conversation a conflict. */
export const TURN_IS_RUNNING = 'running_turn_pkey'
/** The guard of `releaseTurn`: somebody else holds the turn, or has ended it. */
export const TURN_IS_OURS = 'turn_is_ours'

export const insertRunningTurn = prepareWrite((db, p: Parameters<Selectable<Schema['running_turn']>>) =>
  db.insertInto('running_turn').values({
    organization_id: p('organization_id'),
    conversation_id: p('conversation_id'),
    run_id: p('run_id'),
    fence: p('fence'),
    node_id: p('node_id'),
    expires_at: p('expires_at'),
  }),
)

/** Ends the hold on a conversation. Its guard is what keeps a node that has lost the turn from writing its end. */
export const releaseTurn = prepareWrite(
  (db, p: Parameters<RunKey & { fence: number }>) =>
    db
      .deleteFrom('running_turn')
      .where('organization_id', '=', p('organizationId'))
      .where('conversation_id', '=', p('conversationId'))
      .where('run_id', '=', p('runId'))
      .where('fence', '=', p('fence')),
  { guard: TURN_IS_OURS },
)

export const selectRunningTurn = prepareRead((db, p: Parameters<ConversationKey>) =>
  db
    .selectFrom('running_turn')
    .selectAll()
    .where('organization_id', '=', p('organizationId'))
    .where('conversation_id', '=', p('conversationId')),
)

export const selectRunningTurns = prepareRead((db) => db.selectFrom('running_turn').selectAll())

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
        at: number
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
      prompt_tokens: 0,
      completion_tokens: 0,
      usage_is_estimated: 0,
      created_at: p('at'),
      started_at: p('at'),
    }),
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
        event_lengths: p('eventLengths'),
        first_token_at: p('firstTokenAt'),
        ended_at: p('endedAt'),
      })
      .where('organization_id', '=', p('organizationId'))
      .where('conversation_id', '=', p('conversationId'))
      .where('id', '=', p('runId')),
)

/** Stores new events of a run, if the turn is still held under this fence: otherwise it touches no row. */
export const insertChunk = prepareWrite(
  (db, p: Parameters<RunKey & { fence: number; firstEvent: number; text: string; eventLengths: string }>, dialect) =>
    db
      .insertInto('run_chunk')
      .columns(['organization_id', 'run_id', 'first_event', 'text', 'event_lengths'])
      .expression(
        db
          .selectFrom('running_turn')
          .select((eb) => [
            'organization_id',
            'run_id',
            eb.cast<number>(eb.val(p('firstEvent')), 'bigint').as('first_event'),
            eb.cast<string>(eb.val(p('text')), 'text').as('text'),
            eb.cast<string>(eb.val(p('eventLengths')), 'text').as('event_lengths'),
          ])
          .where('organization_id', '=', p('organizationId'))
          .where('conversation_id', '=', p('conversationId'))
          .where('run_id', '=', p('runId'))
          .where('fence', '=', p('fence'))
          // The lock makes a takeover wait for this write, or this write see the takeover.
          .$if(dialect.name === 'postgres', (query) => query.forShare()),
      ),
)

export const deleteChunks = prepareWrite((db, p: Parameters<RunKey>) =>
  db.deleteFrom('run_chunk').where('organization_id', '=', p('organizationId')).where('run_id', '=', p('runId')),
)

export const selectChunks = prepareRead((db, p: Parameters<{ organizationId: string; runId: string }>) =>
  db
    .selectFrom('run_chunk')
    .selectAll()
    .where('organization_id', '=', p('organizationId'))
    .where('run_id', '=', p('runId'))
    .orderBy('first_event'),
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
  /** How long each event's text is; null while the run is under way. */
  eventLengths: number[] | null
}

/** Undefined if the conversation has no such run. */
export async function findRun(database: Database, key: RunKey): Promise<FoundRun | undefined> {
  const row = (await selectRun(database, key))[0]
  return row && { run: toRun(row), eventLengths: row.event_lengths === null ? null : decodeLengths(row.event_lengths) }
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
    attempts: JSON.parse(row.attempts) as Run['attempts'],
    finishReason: row.finish_reason as FinishReason | null,
    error: row.error === null ? null : (JSON.parse(row.error) as RunFailure),
    usage: { promptTokens: row.prompt_tokens, completionTokens: row.completion_tokens },
    isUsageEstimated: row.usage_is_estimated === 1,
    createdAt: row.created_at,
    startedAt: row.started_at,
    firstTokenAt: row.first_token_at,
    endedAt: row.ended_at,
  }
}

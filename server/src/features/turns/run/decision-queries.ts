import type { Database } from '../../../storage/database.ts'
import { type Parameters, prepareRead, prepareWrite } from '../../../storage/prepare.ts'
import type { RunKey } from './run.ts'
import type { RunStatus } from './run-state.ts'

export type Decision = 'approved' | 'rejected'

/** The primary key that lets one decision about a call be. */
export const IS_DECIDED = 'tool_decision_pkey'
/** The guard of `takeApproval`: it was taken before. */
export const IS_APPROVED = 'tool_call_is_approved'
/** The guard of `changeStatus`: the run is not in that status any more. */
export const STATUS_IS_AS_BEFORE = 'status_is_as_before'

export const changeStatus = prepareWrite(
  (db, p: Parameters<RunKey & { from: RunStatus; to: RunStatus }>) =>
    db
      .updateTable('run')
      .set({ status: p('to') })
      .where('organization_id', '=', p('organizationId'))
      .where('conversation_id', '=', p('conversationId'))
      .where('id', '=', p('runId'))
      .where('status', '=', p('from')),
  { guard: STATUS_IS_AS_BEFORE },
)

export const insertDecision = prepareWrite(
  (db, p: Parameters<RunKey & { toolCallId: string; decision: Decision | 'expired' }>) =>
    db.insertInto('tool_decision').values({
      organization_id: p('organizationId'),
      conversation_id: p('conversationId'),
      run_id: p('runId'),
      tool_call_id: p('toolCallId'),
      decision: p('decision'),
    }),
)

/** Makes an approval `taken`: from now on the call may have been made. */
export const takeApproval = prepareWrite(
  (db, p: Parameters<RunKey & { toolCallId: string }>) =>
    db
      .updateTable('tool_decision')
      .set({ decision: 'taken' })
      .where('organization_id', '=', p('organizationId'))
      .where('conversation_id', '=', p('conversationId'))
      .where('run_id', '=', p('runId'))
      .where('tool_call_id', '=', p('toolCallId'))
      .where('decision', '=', 'approved'),
  { guard: IS_APPROVED },
)

export const selectDecisions = prepareRead((db, p: Parameters<RunKey>) =>
  db
    .selectFrom('tool_decision')
    .select(['tool_call_id', 'decision'])
    .where('organization_id', '=', p('organizationId'))
    .where('conversation_id', '=', p('conversationId'))
    .where('run_id', '=', p('runId')),
)

/** Notes that a call waits, for the list of all that do. */
export const insertWaitingCall = prepareWrite(
  (
    db,
    p: Parameters<
      RunKey & { toolCallId: string; id: string; name: string; input: string; createdAt: number; expiresAt: number }
    >,
  ) =>
    db.insertInto('waiting_call').values({
      organization_id: p('organizationId'),
      conversation_id: p('conversationId'),
      run_id: p('runId'),
      tool_call_id: p('toolCallId'),
      id: p('id'),
      name: p('name'),
      input: p('input'),
      created_at: p('createdAt'),
      expires_at: p('expiresAt'),
    }),
)

/** The calls of a run have another end, because another server waits now. Those that were decided about stay gone. */
export const prolongWaitingCalls = prepareWrite((db, p: Parameters<RunKey & { expiresAt: number }>) =>
  db
    .updateTable('waiting_call')
    .set({ expires_at: p('expiresAt') })
    .where('organization_id', '=', p('organizationId'))
    .where('conversation_id', '=', p('conversationId'))
    .where('run_id', '=', p('runId')),
)

/** For the batch of a decision. */
export const deleteWaitingCall = prepareWrite((db, p: Parameters<RunKey & { toolCallId: string }>) =>
  db
    .deleteFrom('waiting_call')
    .where('organization_id', '=', p('organizationId'))
    .where('conversation_id', '=', p('conversationId'))
    .where('run_id', '=', p('runId'))
    .where('tool_call_id', '=', p('toolCallId')),
)

export const deleteWaitingCalls = prepareWrite((db, p: Parameters<RunKey>) =>
  db
    .deleteFrom('waiting_call')
    .where('organization_id', '=', p('organizationId'))
    .where('conversation_id', '=', p('conversationId'))
    .where('run_id', '=', p('runId')),
)

/** How many runs one query asks for. */
const RUNS_AT_ONCE = 16

/** Those of the given runs about whose calls somebody has decided. */
export async function findDecidedRuns(database: Database, keys: readonly RunKey[]): Promise<Set<string>> {
  const decided = new Set<string>()
  for (let from = 0; from < keys.length; from += RUNS_AT_ONCE) {
    const rest = keys.slice(from)
    // Always as many, the last one repeated: so the statement has one text, which databases prepare once.
    const asked = Array.from({ length: RUNS_AT_ONCE }, (_, i) => rest[Math.min(i, rest.length - 1)] as RunKey)
    const query = database.dialect.builder
      .selectFrom('tool_decision')
      .select('run_id')
      .where('decision', 'in', ['approved', 'rejected'])
      .where((eb) =>
        eb.or(
          asked.map(({ organizationId, conversationId, runId }) =>
            eb.and([
              eb('organization_id', '=', organizationId),
              eb('conversation_id', '=', conversationId),
              eb('run_id', '=', runId),
            ]),
          ),
        ),
      )
    for (const { run_id } of await database.read(query.compile())) decided.add(run_id)
  }
  return decided
}

export const deleteDecisions = prepareWrite((db, p: Parameters<RunKey>) =>
  db
    .deleteFrom('tool_decision')
    .where('organization_id', '=', p('organizationId'))
    .where('conversation_id', '=', p('conversationId'))
    .where('run_id', '=', p('runId')),
)

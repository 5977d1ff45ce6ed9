import type { Selectable } from 'kysely'
import type { ConversationKey } from '../../../lib/conversation-key.ts'
import type { Database } from '../../../storage/database.ts'
import { asColumn, type Parameters, prepareRead, prepareWrite } from '../../../storage/prepare.ts'
import type { Schema } from '../../../storage/schema.ts'
import type { RunKey, StopReason } from './run.ts'

type RunningTurn = Omit<Selectable<Schema['running_turn']>, 'stop_requested'>

/** The primary key that makes a second turn on a conversation a conflict. */
export const TURN_IS_RUNNING = 'running_turn_pkey'
/** The guard of `holdConversation`: others have been waiting for it. */
export const NOBODY_WAITS = 'nobody_waits'
/** The guard of what only the holder of a turn may do: somebody else holds it, or has ended it. */
export const TURN_IS_OURS = 'turn_is_ours'

/** Takes hold of a conversation that nobody waits for. */
export const holdConversation = prepareWrite(
  (db, p: Parameters<RunningTurn>, { columnTypes }) =>
    db
      .insertInto('running_turn')
      .columns(['organization_id', 'conversation_id', 'run_id', 'fence', 'node_id', 'expires_at'])

      .expression(
        db
          .selectNoFrom([
            asColumn(p('organization_id'), columnTypes.id).as('organization_id'),
            asColumn(p('conversation_id'), columnTypes.id).as('conversation_id'),
            asColumn(p('run_id'), columnTypes.id).as('run_id'),
            asColumn(p('fence'), columnTypes.count).as('fence'),
            asColumn(p('node_id'), columnTypes.id).as('node_id'),
            asColumn(p('expires_at'), columnTypes.count).as('expires_at'),
          ])
          .where((eb) =>
            eb.not(
              eb.exists(
                eb
                  .selectFrom('waiting_turn')
                  .select('run_id')
                  .where('organization_id', '=', p('organization_id'))
                  .where('conversation_id', '=', p('conversation_id')),
              ),
            ),
          ),
      ),
  { guard: NOBODY_WAITS, isIndependent: true },
)

/** Takes hold of a conversation for the turn that was first in its line. */
export const holdNext = prepareWrite((db, p: Parameters<RunningTurn>) =>
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
  { guard: TURN_IS_OURS, isIndependent: true },
)

/** Changes nothing, and fails when the turn is not held under this fence any more: for batches of the holder. */
export const confirmTurn = prepareWrite(
  (db, p: Parameters<RunKey & { fence: number }>) =>
    db
      .updateTable('running_turn')
      .set((eb) => ({ fence: eb.ref('fence') }))
      .where('organization_id', '=', p('organizationId'))
      .where('conversation_id', '=', p('conversationId'))
      .where('run_id', '=', p('runId'))
      .where('fence', '=', p('fence')),
  { guard: TURN_IS_OURS },
)

/** Takes a turn from its holder: from now on nothing that was written under the old fence counts. */
export const takeOverTurn = prepareWrite(
  (db, p: Parameters<RunKey & { fence: number; nodeId: string; expiresAt: number }>) =>
    db
      .updateTable('running_turn')
      .set((eb) => ({
        fence: eb('fence', '+', 1),
        node_id: p('nodeId'),
        expires_at: p('expiresAt'),
        stop_requested: null,
      }))
      .where('organization_id', '=', p('organizationId'))
      .where('conversation_id', '=', p('conversationId'))
      .where('run_id', '=', p('runId'))
      .where('fence', '=', p('fence')),
  { guard: TURN_IS_OURS },
)

export const renewTurn = prepareWrite(
  (db, p: Parameters<RunKey & { fence: number; expiresAt: number }>) =>
    db
      .updateTable('running_turn')
      .set({ expires_at: p('expiresAt') })
      .where('organization_id', '=', p('organizationId'))
      .where('conversation_id', '=', p('conversationId'))
      .where('run_id', '=', p('runId'))
      .where('fence', '=', p('fence')),
  { guard: TURN_IS_OURS },
)

/** Locks the rows in the order of their runs, as the events do: else each could end up waiting for the other. */
export const renewTurns = prepareWrite((db, p: Parameters<{ nodeId: string; expiresAt: number }>, dialect) =>
  db
    .updateTable('running_turn')
    .set({ expires_at: p('expiresAt') })
    .where('run_id', 'in', (eb) =>
      eb
        .selectFrom('running_turn')
        .select('run_id')
        .where('node_id', '=', p('nodeId'))
        .orderBy('run_id')
        .$if(dialect.name === 'postgres', (query) => query.forUpdate()),
    ),
)

/** Asks the holder of a turn to stop it. Touches no row when it is not under way. */
export const requestStop = prepareWrite((db, p: Parameters<RunKey & { reason: StopReason }>) =>
  db
    .updateTable('running_turn')
    .set({ stop_requested: p('reason') })
    .where('organization_id', '=', p('organizationId'))
    .where('conversation_id', '=', p('conversationId'))
    .where('run_id', '=', p('runId')),
)

export const selectStopRequests = prepareRead((db, p: Parameters<{ nodeId: string }>) =>
  db
    .selectFrom('running_turn')
    .select(['run_id', 'stop_requested'])
    .where('node_id', '=', p('nodeId'))
    .where('stop_requested', 'is not', null),
)

export const selectRunningTurn = prepareRead((db, p: Parameters<ConversationKey>) =>
  db
    .selectFrom('running_turn')
    .selectAll()
    .where('organization_id', '=', p('organizationId'))
    .where('conversation_id', '=', p('conversationId')),
)

export const selectRunningTurns = prepareRead((db) => db.selectFrom('running_turn').selectAll())

/** The turns that run on these conversations, or wait for them. */
export async function findTurnsOf(
  database: Database,
  table: 'running_turn' | 'waiting_turn',
  organizationId: string,
  conversationIds: readonly string[],
): Promise<RunKey[]> {
  const query = database.dialect.builder
    .selectFrom(table)
    .select(['conversation_id', 'run_id'])
    .where('organization_id', '=', organizationId)
    .where('conversation_id', 'in', conversationIds)
  return (await database.scan(query.compile(), organizationId)).map(({ conversation_id, run_id }) => ({
    organizationId,
    conversationId: conversation_id,
    runId: run_id,
  }))
}

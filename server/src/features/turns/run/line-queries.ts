import type { Selectable } from 'kysely'
import type { ConversationKey } from '../../../lib/conversation-key.ts'
import { asColumn, type Parameters, prepareRead, prepareWrite } from '../../../storage/prepare.ts'
import type { Schema } from '../../../storage/schema.ts'
import type { RunKey } from './run.ts'

/** The guard of `joinLine`: as many as may are waiting. */
export const LINE_HAS_ROOM = 'line_has_room'
/** The guard of `leaveLine`: the turn does not wait any more. */
export const STILL_WAITS = 'still_waits'

/** Puts a turn at the end of its conversation's line. Only behind a statement that locks the conversation. */
export const joinLine = prepareWrite(
  (db, p: Parameters<Selectable<Schema['waiting_turn']> & { most: number }>, { columnTypes }) =>
    db
      .insertInto('waiting_turn')
      .columns(['organization_id', 'conversation_id', 'run_id', 'node_id', 'expires_at'])

      .expression(
        db
          .selectNoFrom([
            asColumn(p('organization_id'), columnTypes.id).as('organization_id'),
            asColumn(p('conversation_id'), columnTypes.id).as('conversation_id'),
            asColumn(p('run_id'), columnTypes.id).as('run_id'),
            asColumn(p('node_id'), columnTypes.id).as('node_id'),
            asColumn(p('expires_at'), columnTypes.count).as('expires_at'),
          ])
          .where((eb) =>
            eb(
              eb
                .selectFrom('waiting_turn')
                .select((eb) => eb.fn.countAll<number>().as('waiting'))
                .where('organization_id', '=', p('organization_id'))
                .where('conversation_id', '=', p('conversation_id')),
              '<',
              p('most'),
            ),
          ),
      ),
  { guard: LINE_HAS_ROOM },
)

export const leaveLine = prepareWrite(
  (db, p: Parameters<RunKey>) =>
    db
      .deleteFrom('waiting_turn')
      .where('organization_id', '=', p('organizationId'))
      .where('conversation_id', '=', p('conversationId'))
      .where('run_id', '=', p('runId')),
  { guard: STILL_WAITS },
)

export const takeOverPlace = prepareWrite(
  (db, p: Parameters<RunKey & { from: string; nodeId: string; expiresAt: number }>) =>
    db
      .updateTable('waiting_turn')
      .set({ node_id: p('nodeId'), expires_at: p('expiresAt') })
      .where('organization_id', '=', p('organizationId'))
      .where('conversation_id', '=', p('conversationId'))
      .where('run_id', '=', p('runId'))
      .where('node_id', '=', p('from')),
  { guard: STILL_WAITS },
)

export const renewPlaces = prepareWrite((db, p: Parameters<{ nodeId: string; expiresAt: number }>) =>
  db
    .updateTable('waiting_turn')
    .set({ expires_at: p('expiresAt') })
    .where('node_id', '=', p('nodeId')),
)

/** Who waits for a conversation, first come first. */
export const selectLine = prepareRead((db, p: Parameters<ConversationKey>) =>
  db
    .selectFrom('waiting_turn')
    .selectAll()
    .where('organization_id', '=', p('organizationId'))
    .where('conversation_id', '=', p('conversationId'))
    .orderBy('run_id'),
)

/** The conversations on which nothing runs and for which somebody waits on this node. */
export const selectFreeLines = prepareRead((db, p: Parameters<{ nodeId: string }>) =>
  db
    .selectFrom('waiting_turn')
    .select('conversation_id')
    .distinct()
    .where('node_id', '=', p('nodeId'))
    .where((eb) =>
      eb.not(
        eb.exists(
          eb
            .selectFrom('running_turn')
            .select('running_turn.run_id')
            .whereRef('running_turn.organization_id', '=', 'waiting_turn.organization_id')
            .whereRef('running_turn.conversation_id', '=', 'waiting_turn.conversation_id'),
        ),
      ),
    ),
)

export const selectWaitingTurns = prepareRead((db) => db.selectFrom('waiting_turn').selectAll().orderBy('run_id'))

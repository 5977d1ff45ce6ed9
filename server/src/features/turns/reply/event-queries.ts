import type { Database, Statement } from '../../../storage/database.ts'
import { type Parameters, prepareRead, prepareWrite } from '../../../storage/prepare.ts'
import type { RunKey } from '../run/run.ts'
import { decodeEvents, encodeEvents } from './event-codec.ts'
import type { ReplyEvent } from './reply-event.ts'

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

const insertWhole = prepareWrite(
  (db, p: Parameters<{ organizationId: string; runId: string; text: string; eventLengths: string }>) =>
    db.insertInto('run_chunk').values({
      organization_id: p('organizationId'),
      run_id: p('runId'),
      first_event: 0,
      text: p('text'),
      event_lengths: p('eventLengths'),
    }),
)

/** Keeps the events of a run that has ended, where its messages do not say all of them. After {@link deleteChunks}. */
export function keepEvents(database: Database, key: RunKey, events: readonly ReplyEvent[]): Statement {
  const { text, lengths: eventLengths } = encodeEvents(events)
  return insertWhole(database, { organizationId: key.organizationId, runId: key.runId, text, eventLengths })
}

export const deleteChunks = prepareWrite(
  (db, p: Parameters<RunKey>) =>
    db.deleteFrom('run_chunk').where('organization_id', '=', p('organizationId')).where('run_id', '=', p('runId')),
  { isIndependent: true },
)

const selectChunks = prepareRead((db, p: Parameters<{ organizationId: string; runId: string; from: number }>) =>
  db
    .selectFrom('run_chunk')
    .selectAll()
    .where('organization_id', '=', p('organizationId'))
    .where('run_id', '=', p('runId'))
    .where('first_event', '>=', p('from'))
    .orderBy('first_event'),
)

/**
 * The events that are committed of a run under way, from event `from` on, at which a commit began; or those that were
 * kept of one that has ended.
 */
export async function findEvents(
  database: Database,
  key: { organizationId: string; runId: string },
  from: number,
): Promise<ReplyEvent[]> {
  const chunks = await selectChunks(database, { ...key, from })
  return chunks.flatMap((chunk) => decodeEvents({ text: chunk.text, lengths: chunk.event_lengths }))
}

import { type Selectable, sql } from 'kysely'
import { arrayFromText } from '../../lib/json.ts'
import type { Database } from '../../storage/database.ts'
import { asColumn, type Parameters, prepareRead, prepareWrite } from '../../storage/prepare.ts'
import type { Schema } from '../../storage/schema.ts'
import type { Feedback } from './feedback.ts'

type FeedbackRow = Selectable<Schema['feedback']>

/** What stands around the text of one in an answer. */
const BYTES_OF_FRAME = 200

const COLUMNS = [
  'organization_id',
  'conversation_id',
  'message_id',
  'id',
  'score',
  'comments',
  'tags',
  'score_confidence',
  'created_at',
] as const

/** How many can be given on one message, each with an id of its own. */
export const MOST_FEEDBACK = 100

/** The guard of `upsertFeedback`: the message has as many as it may have. */
export const FEEDBACK_HAS_ROOM = 'feedback_has_room'

/** Behind a statement that locks the conversation: so nobody else gives any meanwhile, and nothing is written about one that was erased. */
export const upsertFeedback = prepareWrite(
  (db, p: Parameters<FeedbackRow>, { columnTypes }) =>
    db
      .insertInto('feedback')
      .columns([...COLUMNS])
      .expression(
        db
          .selectFrom('conversation')
          .select([
            'organization_id',
            'id as conversation_id',
            asColumn(p('message_id'), columnTypes.id).as('message_id'),
            asColumn(p('id'), columnTypes.id).as('id'),
            asColumn(p('score'), columnTypes.count).as('score'),
            asColumn(p('comments'), 'text').as('comments'),
            asColumn(p('tags'), 'text').as('tags'),
            asColumn(p('score_confidence'), columnTypes.real).as('score_confidence'),
            asColumn(p('created_at'), columnTypes.time).as('created_at'),
          ])
          .where('conversation.organization_id', '=', p('organization_id'))
          .where('conversation.id', '=', p('conversation_id'))
          .where((eb) =>
            eb(
              eb
                .selectFrom('feedback as given')
                .select((eb) => eb.fn.countAll<number>().as('count'))
                .where('given.organization_id', '=', p('organization_id'))
                .where('given.conversation_id', '=', p('conversation_id'))
                .where('given.message_id', '=', p('message_id'))
                .where('given.id', '!=', p('id')),
              '<',
              MOST_FEEDBACK,
            ),
          ),
      )
      .onConflict((conflict) =>
        conflict.columns(['organization_id', 'conversation_id', 'message_id', 'id']).doUpdateSet((eb) => ({
          score: eb.ref('excluded.score'),
          comments: eb.ref('excluded.comments'),
          tags: eb.ref('excluded.tags'),
          score_confidence: eb.ref('excluded.score_confidence'),
          created_at: eb.ref('excluded.created_at'),
        })),
      ),
  { guard: FEEDBACK_HAS_ROOM },
)

type Range = { organizationId: string; conversationId: string; first: string; last: string }

const bytesOfFeedback = sql<number>`sum(${sql.lit(BYTES_OF_FRAME)} + coalesce(octet_length(comments), 0) + coalesce(octet_length(tags), 0))`

const selectSizes = prepareRead((db, p: Parameters<Range>) =>
  db
    .selectFrom('feedback')
    .select('message_id')
    .select(bytesOfFeedback.as('bytes'))
    .where('organization_id', '=', p('organizationId'))
    .where('conversation_id', '=', p('conversationId'))
    .where('message_id', '>=', p('first'))
    .where('message_id', '<=', p('last'))
    .groupBy('message_id')
    .orderBy('message_id'),
)

const selectFeedback = prepareRead((db, p: Parameters<Range>) =>
  db
    .selectFrom('feedback')
    .selectAll()
    .where('organization_id', '=', p('organizationId'))
    .where('conversation_id', '=', p('conversationId'))
    .where('message_id', '>=', p('first'))
    .where('message_id', '<=', p('last'))
    .orderBy('message_id')
    .orderBy('id'),
)

/** About how many bytes the feedback takes on each message from `first` to `last`; those without any are not there. */
export async function measureFeedback(database: Database, range: Range): Promise<Map<string, number>> {
  return new Map((await selectSizes(database, range)).map(({ message_id, bytes }) => [message_id, Number(bytes)]))
}

/** The feedback on the messages from `first` to `last`, by message id. */
export async function findFeedback(database: Database, range: Range): Promise<Map<string, Feedback[]>> {
  const byMessage = new Map<string, Feedback[]>()
  for (const row of await selectFeedback(database, range)) {
    const list = byMessage.get(row.message_id) ?? []
    list.push(toFeedback(row))
    byMessage.set(row.message_id, list)
  }
  return byMessage
}

function toFeedback(row: FeedbackRow): Feedback {
  return {
    id: row.id,
    score: row.score,
    comments: row.comments,
    tags: arrayFromText<string>(row.tags),
    scoreConfidence: row.score_confidence,
    createdAt: row.created_at,
  }
}

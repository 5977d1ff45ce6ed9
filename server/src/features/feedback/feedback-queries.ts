import type { Selectable } from 'kysely'
import { arrayFromText } from '../../lib/json.ts'
import type { Database } from '../../storage/database.ts'
import { asColumn, type Parameters, prepareRead, prepareWrite } from '../../storage/prepare.ts'
import type { Schema } from '../../storage/schema.ts'
import type { Feedback } from './feedback.ts'

type FeedbackRow = Selectable<Schema['feedback']>

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

/** The guard of `upsertFeedback`: the conversation has been erased. */
export const CONVERSATION_IS_THERE = 'conversation_is_there'

/** Only as long as the conversation is there: nothing may be written about one that was erased. */
export const upsertFeedback = prepareWrite(
  (db, p: Parameters<FeedbackRow>, { name, columnTypes }) =>
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
          // The lock makes an erasure wait for this write, or this write see the erasure.
          .$if(name === 'postgres', (query) => query.forShare()),
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
  { guard: CONVERSATION_IS_THERE },
)

const selectFeedback = prepareRead((db, p: Parameters<{ organizationId: string; conversationId: string }>) =>
  db
    .selectFrom('feedback')
    .selectAll()
    .where('organization_id', '=', p('organizationId'))
    .where('conversation_id', '=', p('conversationId'))
    .orderBy('message_id')
    .orderBy('id'),
)

/** All feedback on a conversation's messages, by message id. */
export async function findFeedback(
  database: Database,
  key: { organizationId: string; conversationId: string },
): Promise<Map<string, Feedback[]>> {
  const byMessage = new Map<string, Feedback[]>()
  for (const row of await selectFeedback(database, key)) {
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

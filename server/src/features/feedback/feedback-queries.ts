import type { Selectable } from 'kysely'
import { arrayFromText } from '../../lib/json.ts'
import type { Database } from '../../storage/database.ts'
import { type Parameters, prepareRead, prepareWrite } from '../../storage/prepare.ts'
import type { Schema } from '../../storage/schema.ts'
import type { Feedback } from './feedback.ts'

type FeedbackRow = Selectable<Schema['feedback']>

export const upsertFeedback = prepareWrite((db, p: Parameters<FeedbackRow>) =>
  db
    .insertInto('feedback')
    .values({
      organization_id: p('organization_id'),
      conversation_id: p('conversation_id'),
      message_id: p('message_id'),
      id: p('id'),
      score: p('score'),
      comments: p('comments'),
      tags: p('tags'),
      score_confidence: p('score_confidence'),
      created_at: p('created_at'),
    })
    .onConflict((conflict) =>
      conflict.columns(['organization_id', 'conversation_id', 'message_id', 'id']).doUpdateSet((eb) => ({
        score: eb.ref('excluded.score'),
        comments: eb.ref('excluded.comments'),
        tags: eb.ref('excluded.tags'),
        score_confidence: eb.ref('excluded.score_confidence'),
        created_at: eb.ref('excluded.created_at'),
      })),
    ),
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

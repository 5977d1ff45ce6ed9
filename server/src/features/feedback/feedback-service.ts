import { AppError } from '../../errors.ts'
import type { Clock } from '../../lib/clock.ts'
import type { IdSource } from '../../lib/ids.ts'
import { type Database, writeOr } from '../../storage/database.ts'
import type { Feedback } from './feedback.ts'
import { CONVERSATION_IS_THERE, findFeedback, upsertFeedback } from './feedback-queries.ts'

export type MessageKey = { organizationId: string; conversationId: string; messageId: string }
export type NewFeedback = Omit<Feedback, 'id' | 'createdAt'> & { id: string | null }
export type FeedbackService = ReturnType<typeof createFeedbackService>

/** Feedback on messages. Whether the message exists is for the caller to know. */
export function createFeedbackService(deps: { database: Database; ids: IdSource; clock: Clock }) {
  const { database, ids, clock } = deps
  return {
    /** Stores feedback; one with the same id on the same message is replaced. Throws 404 for a conversation that is gone. */
    async give(key: MessageKey, feedback: NewFeedback): Promise<void> {
      const batch = [
        upsertFeedback(database, {
          organization_id: key.organizationId,
          conversation_id: key.conversationId,
          message_id: key.messageId,
          id: feedback.id ?? ids.next(),
          score: feedback.score,
          comments: feedback.comments,
          tags: feedback.tags === null ? null : JSON.stringify(feedback.tags),
          score_confidence: feedback.scoreConfidence,
          created_at: clock(),
        }),
      ]
      await writeOr(database, batch, (constraint) =>
        constraint === CONVERSATION_IS_THERE ? new AppError('not_found', 'there is no such conversation') : undefined,
      )
    },

    /** All feedback on a conversation, by message id. */
    ofConversation: (organizationId: string, conversationId: string): Promise<Map<string, Feedback[]>> =>
      findFeedback(database, { organizationId, conversationId }),
  }
}

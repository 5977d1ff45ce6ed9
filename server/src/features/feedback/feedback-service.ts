import { AppError } from '../../errors.ts'
import type { Clock } from '../../lib/clock.ts'
import type { IdSource } from '../../lib/ids.ts'
import { type Database, type Statement, writeOr } from '../../storage/database.ts'
import type { Feedback } from './feedback.ts'
import { FEEDBACK_HAS_ROOM, findFeedback, MOST_FEEDBACK, measureFeedback, upsertFeedback } from './feedback-queries.ts'

export type MessageKey = { organizationId: string; conversationId: string; messageId: string }
/** Messages of a conversation from the id `first` to the id `last`. */
export type MessageRange = { organizationId: string; conversationId: string; first: string; last: string }
export type NewFeedback = Omit<Feedback, 'id' | 'createdAt'> & { id: string | null }
export type FeedbackService = ReturnType<typeof createFeedbackService>

/** Feedback on messages. Whether the message exists is for the caller to know. */
export function createFeedbackService(deps: { database: Database; ids: IdSource; clock: Clock }) {
  const { database, ids, clock } = deps
  return {
    /**
     * Stores feedback; one with the same id on the same message is replaced. `lock` is a guarded statement that locks the
     * conversation; `onGone` makes the error for when that fails. Throws 422 when the message has {@link MOST_FEEDBACK}.
     */
    async give(key: MessageKey, feedback: NewFeedback, lock: Statement, onGone: () => AppError): Promise<void> {
      const batch = [
        lock,
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
      await writeOr(database, batch, (constraint) => (constraint === FEEDBACK_HAS_ROOM ? tooMuch() : onGone()))
    },

    /** About how many bytes the feedback on each message of a range takes; those without any are not there. */
    measure: (range: MessageRange): Promise<Map<string, number>> => measureFeedback(database, range),

    /** The feedback on a range of messages, by message id. */
    between: (range: MessageRange): Promise<Map<string, Feedback[]>> => findFeedback(database, range),
  }
}

function tooMuch(): AppError {
  const message = `a message may have feedback of ${MOST_FEEDBACK} ids: replace one of them`
  return new AppError('unprocessable_entity', message, { details: [{ field: 'feedbackId', issue: 'is one too many' }] })
}

import { PIECE_BYTES } from '../../http/answers/pieces.ts'
import type { ConversationKey } from '../../lib/conversation-key.ts'
import { letOthersRun } from '../../lib/fairness/let-others-run.ts'
import { cutBySize } from '../../lib/text/cut-by-size.ts'
import type { Feedback } from '../feedback/feedback.ts'
import type { FeedbackService } from '../feedback/feedback-service.ts'
import type { Message } from './conversation.ts'

/** Some messages in order with the feedback on them: no more than is printed without keeping others waiting. */
export type MessagePiece = { messages: readonly Message[]; feedback: ReadonlyMap<string, Feedback[]> }
export type MessagePieces = AsyncGenerator<MessagePiece, void>

const NONE: ReadonlyMap<string, Feedback[]> = new Map()

/** Reads the feedback on messages that come in pages, and cuts pages where it would become too much. */
export async function* withFeedback(
  feedback: Pick<FeedbackService, 'measure' | 'between'>,
  key: ConversationKey,
  pages: AsyncIterable<readonly Message[]> | Iterable<readonly Message[]>,
): MessagePieces {
  for await (const page of pages) {
    if (page.length === 0) continue
    const sizes = await feedback.measure({ ...key, ...rangeOf(page) })
    if (sizes.size === 0) {
      yield { messages: page, feedback: NONE }
      await letOthersRun()
      continue
    }
    const parts = cutBySize(page, PIECE_BYTES, ({ id, content }) => content.length + (sizes.get(id) ?? 0))
    for (const messages of parts) {
      const given = messages.some(({ id }) => sizes.has(id))
      yield { messages, feedback: given ? await feedback.between({ ...key, ...rangeOf(messages) }) : NONE }
      await letOthersRun()
    }
  }
}

/** Of messages in order. */
function rangeOf(messages: readonly Message[]): { first: string; last: string } {
  return { first: messages[0]?.id ?? '', last: messages.at(-1)?.id ?? '' }
}

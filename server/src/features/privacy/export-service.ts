import { AppError } from '../../errors.ts'
import { parseExactly } from '../../lib/exact-json.ts'
import type { Conversation } from '../conversations/conversation.ts'
import type { ConversationService } from '../conversations/conversation-service.ts'
import { hiddenIn } from '../conversations/conversation-wire.ts'
import type { WholeConversations } from '../conversations/for-export/whole-conversations.ts'
import { type MessagePieces, withFeedback } from '../conversations/message-pieces.ts'
import type { FeedbackService } from '../feedback/feedback-service.ts'
import type { RunService } from '../turns/run-service.ts'
import { conversationLine, type ExportFormat, FORMATS, line, linesOfPiece, messageLine } from './export-formats.ts'
import { toRunLine } from './run-line.ts'

export type ExportService = ReturnType<typeof createExportService>

const RUNS_A_PAGE = 200

/** Writes out what there is, piece by piece: a page is read when the reader has taken the one before. */
export function createExportService(deps: {
  conversations: Pick<ConversationService, 'get'>
  whole: WholeConversations
  feedback: Pick<FeedbackService, 'measure' | 'between'>
  runs: Pick<RunService, 'runsOf'>
}) {
  const { conversations, whole, feedback, runs } = deps

  /** The messages that may leave the server: not the system message of a secret persona. */
  async function* visibleMessages(conversation: Conversation): MessagePieces {
    const hidden = hiddenIn(conversation)
    for await (const piece of withFeedback(feedback, keyOf(conversation), whole.messagesOf(conversation))) {
      yield { ...piece, messages: piece.messages.filter(({ id }) => id !== hidden) }
    }
  }

  async function* linesOf(conversation: Conversation, more: object): AsyncGenerator<string> {
    const key = keyOf(conversation)
    yield conversationLine(conversation, more)
    for await (const piece of visibleMessages(conversation)) yield linesOfPiece(conversation, piece)
    for await (const page of whole.replacedOf(conversation)) {
      const replaced = new Map(page.map((one) => [one.message.id, one]))
      const messages = page.map(({ message }) => message)
      for await (const piece of withFeedback(feedback, key, [messages])) {
        const lines = piece.messages.map((message) => ({
          ...(parseExactly(messageLine(conversation, message, piece.feedback.get(message.id) ?? [])) as object),
          type: 'replacedMessage',
          replacedByRunId: replaced.get(message.id)?.replacedBy,
          replacedAt: new Date(replaced.get(message.id)?.replacedAt ?? 0).toISOString(),
        }))
        yield lines.map(line).join('')
      }
    }
    for (let after: string | null = null; ; ) {
      const page = await runs.runsOf(key, after, RUNS_A_PAGE)
      if (page.length > 0) yield page.map((run) => line(toRunLine(run))).join('')
      after = page.at(-1)?.id ?? null
      if (page.length < RUNS_A_PAGE) return
    }
  }

  return {
    /** One conversation. Throws 404, 410, and with the first piece 503 when its archive cannot be read. */
    async conversation(organizationId: string, id: string, format: ExportFormat): Promise<AsyncGenerator<string>> {
      const conversation = await conversations.get(organizationId, id)
      return FORMATS[format].write({ conversation, read: () => visibleMessages(conversation) })
    },

    /**
     * Everything of a user as JSON Lines: conversations, deleted ones too, each with its messages, those that were
     * replaced, the feedback and the runs. Throws 404 when there is nothing.
     */
    async user(organizationId: string, externalUserId: string): Promise<AsyncGenerator<string>> {
      const pages = whole.ofUser(organizationId, externalUserId)
      const first = (await pages.next()).value
      if (!first) throw new AppError('not_found', 'there is no such user')
      return (async function* () {
        for (let page: typeof first | undefined = first; page; page = (await pages.next()).value) {
          for (const { conversation, isDeleted, score } of page) {
            yield* linesOf(conversation, {
              isDeleted,
              score: score.score,
              scoreText: score.text,
              scoreTags: score.tags,
            })
          }
        }
      })()
    },
  }
}

function keyOf({ organizationId, id }: Conversation) {
  return { organizationId, conversationId: id }
}

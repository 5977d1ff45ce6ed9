import { AppError } from '../../errors.ts'
import type { Conversation, Message } from '../conversations/conversation.ts'
import type { ConversationService } from '../conversations/conversation-service.ts'
import type { WholeConversations } from '../conversations/whole-conversations.ts'
import type { FeedbackService } from '../feedback/feedback-service.ts'
import type { TurnService } from '../turns/turn-service.ts'
import { conversationLine, type ExportFormat, FORMATS, line, messageLine } from './export-formats.ts'
import { toRunLine } from './run-line.ts'

export type ExportService = ReturnType<typeof createExportService>

const RUNS_A_PAGE = 200

/** Writes out what there is, piece by piece: a page is read when the reader has taken the one before. */
export function createExportService(deps: {
  conversations: Pick<ConversationService, 'get'>
  whole: WholeConversations
  feedback: Pick<FeedbackService, 'ofConversation'>
  turns: Pick<TurnService, 'runsOf'>
}) {
  const { conversations, whole, feedback, turns } = deps

  /** The messages that may leave the server: not the system message of a secret persona. */
  async function* visibleMessages(conversation: Conversation): AsyncGenerator<readonly Message[]> {
    const hidden = conversation.isSecret ? conversation.systemMessageId : null
    for await (const page of whole.messagesOf(conversation)) yield page.filter(({ id }) => id !== hidden)
  }

  async function* linesOf(conversation: Conversation, more: object): AsyncGenerator<string> {
    const { organizationId, id: conversationId } = conversation
    const given = await feedback.ofConversation(organizationId, conversationId)
    const of = ({ id }: Message) => given.get(id) ?? []
    yield conversationLine(conversation, more)
    for await (const page of visibleMessages(conversation)) {
      yield page.map((message) => messageLine(conversation, message, of(message))).join('')
    }
    for await (const page of whole.replacedOf(conversation)) {
      const lines = page.map(({ message, replacedBy, replacedAt }) => ({
        ...(JSON.parse(messageLine(conversation, message, of(message))) as object),
        ...{ type: 'replacedMessage', replacedByRunId: replacedBy, replacedAt: new Date(replacedAt).toISOString() },
      }))
      yield lines.map(line).join('')
    }
    for (let after: string | null = null; ; ) {
      const runs = await turns.runsOf({ organizationId, conversationId }, after, RUNS_A_PAGE)
      if (runs.length > 0) yield runs.map((run) => line(toRunLine(run))).join('')
      after = runs.at(-1)?.id ?? null
      if (runs.length < RUNS_A_PAGE) return
    }
  }

  return {
    /** One conversation. Throws 404, 410, and 503 when its archive cannot be read, before anything is written. */
    async conversation(organizationId: string, id: string, format: ExportFormat): Promise<AsyncGenerator<string>> {
      const conversation = await conversations.get(organizationId, id)
      const given = await feedback.ofConversation(organizationId, id)
      const messages = await begun(visibleMessages(conversation))
      return FORMATS[format].write({ conversation, messages, feedback: given })
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

/** The same pieces, the first of which has been read: what stands against that is known before an answer begins. */
async function begun<T>(pieces: AsyncGenerator<T>): Promise<AsyncGenerator<T>> {
  const first = await pieces.next()
  return (async function* () {
    if (first.done) return
    yield first.value
    yield* pieces
  })()
}

import { AppError } from '../../errors.ts'
import { createContinuationToken, type Page, readContinuationToken, toPage } from '../../http/pagination.ts'
import type { Clock } from '../../lib/clock.ts'
import type { IdSource } from '../../lib/ids.ts'
import { type Database, writeOr } from '../../storage/database.ts'
import type { Feedback } from '../feedback/feedback.ts'
import type { FeedbackService, NewFeedback } from '../feedback/feedback-service.ts'
import type { OrganizationService } from '../organizations/organization-service.ts'
import type { Conversation, ConversationChange, ConversationFilter, Message } from './conversation.ts'
import {
  changeConversation,
  deleteConversation,
  type Found,
  findConversation,
  findConversations,
  scoreConversation,
} from './conversation-queries.ts'
import { findMessage, findMessages, findMessagesOf } from './message-queries.ts'

export type ConversationWithMessages = {
  conversation: Conversation
  messages: Message[]
  feedback: Map<string, Feedback[]>
}
export type ListRequest = {
  filter: ConversationFilter
  pageSize: number
  continuationToken: string | null
  includeMessages: boolean
}
/** A conversation in a list; its messages only where they were asked for. */
export type ListedConversation = Omit<ConversationWithMessages, 'messages'> & { messages: Message[] | null }
export type ConversationScore = { score: number | null; text: string | null; tags: string | null }
export type ConversationService = ReturnType<typeof createConversationService>

/** From this many messages on, reading them all is left to the thread for long reads. */
const LONG_CONVERSATION = 200

/** Conversations as they stand: reading, listing, naming, scoring, deleting. How they go on is the turns' business. */
export function createConversationService(deps: {
  database: Database
  ids: IdSource
  clock: Clock
  organizations: Pick<OrganizationService, 'tokenSecret'>
  feedback: FeedbackService
}) {
  const { database, clock, organizations, feedback } = deps

  async function get(organizationId: string, id: string): Promise<Conversation> {
    return existing(await findConversation(database, { organizationId, id }))
  }

  async function withMessages(conversation: Conversation): Promise<ConversationWithMessages> {
    const key = { organizationId: conversation.organizationId, conversationId: conversation.id }
    const [messages, given] = await Promise.all([
      findMessages(database, key, conversation.messageCount > LONG_CONVERSATION),
      feedback.ofConversation(key.organizationId, key.conversationId),
    ])
    return { conversation, messages, feedback: given }
  }

  return {
    /** Throws 404, and 410 when it is deleted. */
    get,

    /** A conversation with its messages in order and the feedback on them. Throws 404 and 410. */
    async getWithMessages(organizationId: string, id: string): Promise<ConversationWithMessages> {
      return withMessages(await get(organizationId, id))
    },

    async list(organizationId: string, request: ListRequest): Promise<Page<ListedConversation>> {
      const { filter, pageSize, continuationToken, includeMessages } = request
      const secret = await organizations.tokenSecret(organizationId)
      const query = ['conversations', filter]
      const after = continuationToken === null ? null : readContinuationToken(secret, query, continuationToken)
      const rows = await findConversations(database, organizationId, filter, after, pageSize + 1)
      const page = toPage(rows, pageSize, (last) => createContinuationToken(secret, query, last.id))
      if (!includeMessages) {
        return {
          ...page,
          data: page.data.map((conversation) => ({ conversation, messages: null, feedback: new Map() })),
        }
      }
      const ids = page.data.map(({ id }) => id)
      const messages = await findMessagesOf(database, organizationId, ids)
      const data = page.data.map(async (conversation) => ({
        conversation,
        messages: messages.get(conversation.id) ?? [],
        feedback: await feedback.ofConversation(organizationId, conversation.id),
      }))
      return { ...page, data: await Promise.all(data) }
    },

    /** Changes what callers may change. Throws 404 and 410. */
    async update(organizationId: string, id: string, change: ConversationChange): Promise<ConversationWithMessages> {
      await get(organizationId, id)
      await writeOr(database, changeConversation(database, { organizationId, id }, change), gone)
      return withMessages(await get(organizationId, id))
    },

    /** Scores the conversation as a whole; reports show it. Throws 404 and 410. */
    async score(organizationId: string, id: string, score: ConversationScore): Promise<ConversationWithMessages> {
      const conversation = await get(organizationId, id)
      await writeOr(database, [scoreConversation(database, { organizationId, id, ...score })], gone)
      return withMessages(conversation)
    },

    /** Gives feedback on one message. Throws 404, also when the caller may not see the message, and 410. */
    async giveFeedback(
      organizationId: string,
      id: string,
      messageId: string,
      given: NewFeedback,
    ): Promise<ConversationWithMessages> {
      const conversation = await get(organizationId, id)
      const isHidden = conversation.isSecret && messageId === conversation.systemMessageId
      const message = await findMessage(database, { organizationId, conversationId: id, id: messageId })
      if (!message || isHidden) throw new AppError('not_found', 'the conversation has no such message')
      await feedback.give({ organizationId, conversationId: id, messageId }, given)
      return withMessages(conversation)
    },

    /** Deletes a conversation softly: it leaves all lists, and whoever asks for it hears 410. Throws 404 and 410. */
    async remove(organizationId: string, id: string): Promise<void> {
      await get(organizationId, id)
      await writeOr(database, [deleteConversation(database, { organizationId, id, at: clock() })], gone)
    },
  }
}

/** The conversation that was found. Throws 404 when there is none and 410 when it is deleted. */
export function existing<T>(found: Found<T> | undefined): T {
  if (!found) throw new AppError('not_found', 'there is no such conversation')
  if (found.isDeleted) throw gone()
  return found.conversation
}

function gone(): AppError {
  return new AppError('gone', 'the conversation has been deleted')
}

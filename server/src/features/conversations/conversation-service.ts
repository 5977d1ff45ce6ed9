import { AppError } from '../../errors.ts'
import { createContinuationToken, type Page, readContinuationToken, toPage } from '../../http/pagination.ts'
import type { Clock } from '../../lib/clock.ts'
import type { IdSource } from '../../lib/ids.ts'
import { type Database, type Statement, writeOr } from '../../storage/database.ts'
import type { AttachmentService } from '../attachments/attachment-service.ts'
import type { Feedback } from '../feedback/feedback.ts'
import type { FeedbackService, NewFeedback } from '../feedback/feedback-service.ts'
import type { OrganizationService } from '../organizations/organization-service.ts'
import { type ArchivedMessages, NEWEST_MESSAGES } from './archived-messages.ts'
import type { Conversation, ConversationChange, ConversationFilter, Message } from './conversation.ts'
import {
  changeConversation,
  deleteConversation,
  type Found,
  findConversation,
  findConversations,
  lockConversation,
  scoreConversation,
} from './conversation-queries.ts'
import { findMessage, findMessages, findMessagesBefore, findMessagesOf } from './message-queries.ts'

export type ConversationWithMessages = {
  conversation: Conversation
  /** Of one with an archive, the newest. */
  messages: Message[]
  feedback: Map<string, Feedback[]>
  /** The path and query under which all messages can be read, if some are in the archive. */
  transcriptPath: string | null
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

type MessagesKey = { organizationId: string; conversationId: string }

/** Behind every id there is. */
const LAST_UUID = 'ffffffff-ffff-ffff-ffff-ffffffffffff'

/** From this many messages on, reading them all is left to the thread for long reads. */
const LONG_CONVERSATION = 200

/** Conversations as they stand: reading, listing, naming, scoring, deleting. How they go on is the turns' business. */
export function createConversationService(deps: {
  database: Database
  ids: IdSource
  clock: Clock
  organizations: Pick<OrganizationService, 'tokenSecret'>
  feedback: FeedbackService
  archive: ArchivedMessages
  attachments: Pick<AttachmentService, 'discard'>
}) {
  const { database, clock, organizations, feedback, archive, attachments } = deps

  async function get(organizationId: string, id: string): Promise<Conversation> {
    return existing(await findConversation(database, { organizationId, id }))
  }

  async function withMessages(conversation: Conversation): Promise<ConversationWithMessages> {
    const key = keyOf(conversation)
    const [messages, given, transcriptPath] = await Promise.all([
      conversation.archivedCount > 0 ? newestOf(key) : findMessages(database, key, isLong(conversation)),
      feedback.ofConversation(key.organizationId, key.conversationId),
      transcriptPathOf(conversation),
    ])
    // Its older messages may have been archived between the two reads.
    const hasAll = conversation.archivedCount > 0 || messages.length >= conversation.messageCount
    if (!hasAll) {
      const now = await get(key.organizationId, key.conversationId)
      if (now.archivedCount > 0) return withMessages(now)
    }
    return { conversation, messages, feedback: given, transcriptPath }
  }

  async function newestOf(key: MessagesKey): Promise<Message[]> {
    return (await findMessagesBefore(database, key, LAST_UUID, NEWEST_MESSAGES)).messages.reverse()
  }

  async function transcriptPathOf(conversation: Conversation): Promise<string | null> {
    return conversation.archivedCount > 0 ? archive.linkTo(keyOf(conversation)) : null
  }

  return {
    /** Throws 404, and 410 when it is deleted. */
    get,

    /** A conversation with its messages in order and the feedback on them. Throws 404 and 410. */
    async getWithMessages(organizationId: string, id: string): Promise<ConversationWithMessages> {
      return withMessages(await get(organizationId, id))
    },

    /** The same with every message, as if none had been archived. Throws 404, 410, and 503. */
    async getWhole(organizationId: string, id: string): Promise<ConversationWithMessages> {
      const found = await get(organizationId, id)
      if (found.archivedCount === 0) return withMessages(found)
      const messages: Message[] = []
      for await (const more of archive.transcript(keyOf(found))) messages.push(...more)
      const given = await feedback.ofConversation(organizationId, id)
      return { conversation: { ...found, archivedCount: 0 }, messages, feedback: given, transcriptPath: null }
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
          data: await Promise.all(
            page.data.map(async (conversation) => ({
              ...{ conversation, messages: null, feedback: new Map() },
              transcriptPath: await transcriptPathOf(conversation),
            })),
          ),
        }
      }
      const ids = page.data.filter(({ archivedCount }) => archivedCount === 0).map(({ id }) => id)
      const messages = await findMessagesOf(database, organizationId, ids)
      const data = page.data.map(async (conversation) => {
        const found = messages.get(conversation.id) ?? []
        if (found.length < conversation.messageCount) return withMessages(conversation)
        const given = await feedback.ofConversation(organizationId, conversation.id)
        return { conversation, messages: found, feedback: given, transcriptPath: null }
      })
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
      const key = { organizationId, conversationId: id }
      const message = (await findMessage(database, { ...key, id: messageId })) ?? (await archive.find(key, messageId))
      if (!message || isHidden) throw new AppError('not_found', 'the conversation has no such message')
      await feedback.give({ organizationId, conversationId: id, messageId }, given)
      return withMessages(conversation)
    },

    /** Locks a conversation, for what is written in the same batch. Guarded: it fails when that is deleted. */
    lock: (organizationId: string, id: string): Statement => lockConversation(database, { organizationId, id }),

    /** Deletes a conversation softly: it leaves all lists, and whoever asks for it hears 410. Throws 404 and 410. */
    async remove(organizationId: string, id: string): Promise<void> {
      await get(organizationId, id)
      const batch = [
        deleteConversation(database, { organizationId, id, at: clock() }),
        ...archive.discard({ organizationId, conversationId: id }),
        ...attachments.discard({ organizationId, conversationId: id }),
      ]
      await writeOr(database, batch, gone)
    },
  }
}

function keyOf({ organizationId, id }: Conversation): MessagesKey {
  return { organizationId, conversationId: id }
}

function isLong({ messageCount }: Conversation): boolean {
  return messageCount > LONG_CONVERSATION
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

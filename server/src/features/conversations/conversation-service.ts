import { AppError } from '../../errors.ts'
import {
  createContinuationToken,
  type OpenPage,
  readContinuationToken,
  toOpenPage,
} from '../../http/answers/pagination.ts'
import { PIECE_BYTES } from '../../http/answers/pieces.ts'
import type { Clock } from '../../lib/clock.ts'
import type { ConversationKey } from '../../lib/conversation-key.ts'
import { type IdSource, NIL_UUID } from '../../lib/ids.ts'
import { cutBySize } from '../../lib/text/cut-by-size.ts'
import { type Database, type Statement, WriteConflict, writeOr } from '../../storage/database.ts'
import type { AttachmentService } from '../attachments/attachment-service.ts'
import type { FeedbackService, NewFeedback } from '../feedback/feedback-service.ts'
import type { OrganizationService } from '../organizations/organization-service.ts'
import type { Conversation, ConversationChange, ConversationFilter, Message } from './conversation.ts'
import {
  CONVERSATION_IS_AS_SEEN,
  changeConfiguration,
  changeConversation,
  deleteConversation,
  type Found,
  findConversation,
  findConversations,
  findListed,
  type Listed,
  lockConversation,
  scoreConversation,
} from './conversation-queries.ts'
import { type ArchivedMessages, type LinkFor, NEWEST_MESSAGES } from './for-archive/archived-messages.ts'
import { type MessagePieces, withFeedback } from './message-pieces.ts'
import { findMessage, findNewestInPieces, findPieceAfter } from './message-queries.ts'

/** A conversation as it is shown: its messages are read as they are taken. */
export type ShownConversation = {
  conversation: Conversation
  /** Of one with an archive, the newest. */
  messages: MessagePieces
  /** What makes the path and query under which all messages can be read, if some are in the archive. */
  transcriptLink: LinkFor | null
}
export type ListRequest = {
  filter: ConversationFilter
  pageSize: number
  continuationToken: string | null
  includeMessages: boolean
}
/** A conversation in a list; its messages only where they were asked for. */
export type ListedConversation = Omit<ShownConversation, 'messages'> & { id: string; messages: MessagePieces | null }
export type ConversationScore = { score: number | null; text: string | null; tags: string | null }
/** How often to look again when a conversation has changed between reading and writing. */
const MOST_TRIES = 20

export type ConversationService = ReturnType<typeof createConversationService>

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

  async function show(conversation: Conversation): Promise<ShownConversation> {
    const key = keyOf(conversation)
    const pieces = (pages: Parameters<typeof withFeedback>[2]) => withFeedback(feedback, key, pages)
    if (conversation.archivedCount > 0) {
      const messages = pieces(findNewestInPieces(database, key, NEWEST_MESSAGES))
      return { conversation, messages, transcriptLink: await archive.linkTo(key) }
    }
    const { messages, isLast } = await findPieceAfter(database, key, NIL_UUID)
    // The archive knows how to go on when messages are moved there meanwhile.
    if (!isLast) return { conversation, messages: pieces(archive.transcript(key)), transcriptLink: null }
    if (messages.length < conversation.messageCount) {
      // Its older messages may have been archived between the two reads.
      const now = await get(key.organizationId, key.conversationId)
      if (now.archivedCount > 0) return show(now)
    }
    return { conversation, messages: pieces([messages]), transcriptLink: null }
  }

  async function* showEach(
    organizationId: string,
    listed: readonly Listed[],
    includeMessages: boolean,
  ): AsyncGenerator<ListedConversation, void> {
    for (const piece of cutBySize(listed, PIECE_BYTES, ({ bytes }) => bytes)) {
      const ids = piece.map(({ id }) => id)
      for (const conversation of await findConversations(database, organizationId, ids)) {
        const { id, archivedCount } = conversation
        if (includeMessages) yield { id, ...(await show(conversation)) }
        else {
          const transcriptLink = archivedCount > 0 ? await archive.linkTo(keyOf(conversation)) : null
          yield { id, conversation, messages: null, transcriptLink }
        }
      }
    }
  }

  return {
    /** Throws 404, and 410 when it is deleted. */
    get,

    /** A conversation with its messages in order and the feedback on them. Throws 404 and 410. */
    async getWithMessages(organizationId: string, id: string): Promise<ShownConversation> {
      return show(await get(organizationId, id))
    },

    /** A conversation with every message up to the id `until`, as if none had been archived. Throws 404, 410, and 503. */
    async getUntil(
      organizationId: string,
      id: string,
      until: string,
    ): Promise<{ conversation: Conversation; messages: Message[] }> {
      const conversation = await get(organizationId, id)
      const messages: Message[] = []
      for await (const more of archive.transcript(keyOf(conversation))) {
        messages.push(...more.filter((message) => message.id <= until))
        if ((more.at(-1)?.id ?? '') >= until) break
      }
      return { conversation: { ...conversation, archivedCount: 0 }, messages }
    },

    async list(organizationId: string, request: ListRequest): Promise<OpenPage<ListedConversation>> {
      const { filter, pageSize, continuationToken, includeMessages } = request
      const secret = await organizations.tokenSecret(organizationId)
      const query = ['conversations', filter]
      const after = continuationToken === null ? null : readContinuationToken(secret, query, continuationToken)
      const found = await findListed(database, organizationId, filter, after, pageSize + 1)
      return toOpenPage(
        found,
        pageSize,
        (id) => createContinuationToken(secret, query, id),
        (listed) => showEach(organizationId, listed, includeMessages),
      )
    },

    /** Changes what callers may change. Throws 404 and 410. */
    async update(organizationId: string, id: string, change: ConversationChange): Promise<ShownConversation> {
      for (let tries = 1; ; tries++) {
        const seen = await get(organizationId, id)
        const { configuration } = change
        const statements = [
          ...changeConversation(database, { organizationId, id }, change),
          ...(configuration === undefined ? [] : [changeConfiguration(database, seen, configuration)]),
        ]
        try {
          await writeOr(database, statements, (constraint) =>
            constraint === CONVERSATION_IS_AS_SEEN ? undefined : gone(),
          )
          return show(await get(organizationId, id))
        } catch (error) {
          // It has gone on meanwhile: a turn was accepted, or somebody else has changed the same.
          const isOld = error instanceof WriteConflict && error.constraint === CONVERSATION_IS_AS_SEEN
          if (!isOld) throw error
          if (tries === MOST_TRIES) throw new AppError('conflict', 'the conversation is changing too fast')
        }
      }
    },

    /** Scores the conversation as a whole; reports show it. Throws 404 and 410. */
    async score(organizationId: string, id: string, score: ConversationScore): Promise<ShownConversation> {
      const conversation = await get(organizationId, id)
      await writeOr(database, [scoreConversation(database, { organizationId, id, ...score })], gone)
      return show(conversation)
    },

    /** Gives feedback on one message. Throws 404, also when the caller may not see the message, 410, and 422. */
    async giveFeedback(
      organizationId: string,
      id: string,
      messageId: string,
      given: NewFeedback,
    ): Promise<ShownConversation> {
      const conversation = await get(organizationId, id)
      const isHidden = conversation.isSecret && messageId === conversation.systemMessageId
      const key = { organizationId, conversationId: id }
      const message = (await findMessage(database, { ...key, id: messageId })) ?? (await archive.find(key, messageId))
      if (!message || isHidden) throw new AppError('not_found', 'the conversation has no such message')
      const lock = lockConversation(database, { organizationId, id })
      await feedback.give({ organizationId, conversationId: id, messageId }, given, lock, gone)
      return show(conversation)
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

function keyOf({ organizationId, id }: Conversation): ConversationKey {
  return { organizationId, conversationId: id }
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

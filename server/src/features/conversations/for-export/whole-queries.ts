import type { ConversationKey } from '../../../lib/conversation-key.ts'
import type { Database } from '../../../storage/database.ts'
import type { Conversation, Message } from '../conversation.ts'
import { bytesOfConversation, toConversation, withPersona } from '../conversation-queries.ts'
import type { ConversationScore } from '../conversation-service.ts'
import { bytesOfMessage, toMessage } from '../message-queries.ts'

/** A conversation with what only an export shows of it. */
export type WholeConversation = { conversation: Conversation; isDeleted: boolean; score: ConversationScore }
/** A message that is not in its conversation any more, and the run that has replaced it. */
export type ReplacedMessage = { message: Message; replacedBy: string; replacedAt: number }

export type Page = { after: string | null; limit: number }
/** The id of a row, and about how many bytes there are of it. */
export type Measured = { id: string; bytes: number }

/** A page of the conversations of a user, deleted ones too, in the order of their ids. */
export function measureConversationsOfUser(
  database: Database,
  { organizationId, externalUserId }: { organizationId: string; externalUserId: string },
  { after, limit }: Page,
): Promise<Measured[]> {
  let query = database.dialect.builder
    .selectFrom('conversation')
    .select(['id', bytesOfConversation.as('bytes')])
    .where('organization_id', '=', organizationId)
    .where('external_user_id', '=', externalUserId)
    .orderBy('id')
    .limit(limit)
  if (after !== null) query = query.where('id', '>', after)
  return database.scan(query.compile(), organizationId)
}

/** Conversations, deleted ones too, in the order of their ids. */
export async function findWholeConversations(
  database: Database,
  organizationId: string,
  ids: readonly string[],
): Promise<WholeConversation[]> {
  const query = withPersona(database.dialect.builder)
    .where('conversation.organization_id', '=', organizationId)
    .where('conversation.id', 'in', ids)
    .orderBy('conversation.id')
  return (await database.scan(query.compile(), organizationId)).map((row) => ({
    conversation: toConversation(row),
    isDeleted: row.deleted_at !== null,
    score: { score: row.score, text: row.score_text, tags: row.score_tags },
  }))
}

/** A page of the messages that others have taken the place of, in order. */
export function measureReplaced(database: Database, key: ConversationKey, { after, limit }: Page): Promise<Measured[]> {
  let query = database.dialect.builder
    .selectFrom('replaced_message')
    .select(['id', bytesOfMessage.as('bytes')])
    .where('organization_id', '=', key.organizationId)
    .where('conversation_id', '=', key.conversationId)
    .orderBy('id')
    .limit(limit)
  if (after !== null) query = query.where('id', '>', after)
  return database.scan(query.compile(), key.organizationId)
}

/** Messages that others have taken the place of, in order. */
export async function findReplaced(
  database: Database,
  { organizationId, conversationId }: ConversationKey,
  ids: readonly string[],
): Promise<ReplacedMessage[]> {
  const query = database.dialect.builder
    .selectFrom('replaced_message')
    .selectAll()
    .where('organization_id', '=', organizationId)
    .where('conversation_id', '=', conversationId)
    .where('id', 'in', ids)
    .orderBy('id')
  return (await database.scan(query.compile(), organizationId)).map((row) => ({
    message: toMessage(row),
    replacedBy: row.replaced_by,
    replacedAt: row.replaced_at,
  }))
}

import type { Database } from '../../storage/database.ts'
import type { Conversation, Message } from './conversation.ts'
import { toConversation, withPersona } from './conversation-queries.ts'
import type { ConversationScore } from './conversation-service.ts'
import { toMessage } from './message-queries.ts'

/** A conversation with what only an export shows of it. */
export type WholeConversation = { conversation: Conversation; isDeleted: boolean; score: ConversationScore }
/** A message that is not in its conversation any more, and the run that has replaced it. */
export type ReplacedMessage = { message: Message; replacedBy: string; replacedAt: number }

type Page = { after: string | null; limit: number }
type Key = { organizationId: string; conversationId: string }

/** Conversations of a user, deleted ones too, in the order of their ids. */
export async function findConversationsOfUser(
  database: Database,
  { organizationId, externalUserId }: { organizationId: string; externalUserId: string },
  { after, limit }: Page,
): Promise<WholeConversation[]> {
  let query = withPersona(database.dialect.builder)
    .where('conversation.organization_id', '=', organizationId)
    .where('conversation.external_user_id', '=', externalUserId)
    .orderBy('conversation.id')
    .limit(limit)
  if (after !== null) query = query.where('conversation.id', '>', after)
  return (await database.scan(query.compile(), organizationId)).map((row) => ({
    conversation: toConversation(row),
    isDeleted: row.deleted_at !== null,
    score: { score: row.score, text: row.score_text, tags: row.score_tags },
  }))
}

/** A page of the messages that others have taken the place of, in order. */
export async function findReplacedAfter(
  database: Database,
  { organizationId, conversationId }: Key,
  { after, limit }: Page,
): Promise<ReplacedMessage[]> {
  let query = database.dialect.builder
    .selectFrom('replaced_message')
    .selectAll()
    .where('organization_id', '=', organizationId)
    .where('conversation_id', '=', conversationId)
    .orderBy('id')
    .limit(limit)
  if (after !== null) query = query.where('id', '>', after)
  return (await database.scan(query.compile(), organizationId)).map((row) => ({
    message: toMessage(row),
    replacedBy: row.replaced_by,
    replacedAt: row.replaced_at,
  }))
}

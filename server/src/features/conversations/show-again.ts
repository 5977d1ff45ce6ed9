import { isJsonObject } from '../../lib/json.ts'
import type { ConversationService } from './conversation-service.ts'

/**
 * What may still be shown of an answer that was given before and may hold a conversation: JSON text in and out. Its
 * persona may have become secret since. Throws 404 and 410: with the conversation, what was said about it is gone.
 */
export async function showAgain(
  conversations: Pick<ConversationService, 'get'>,
  organizationId: string,
  conversationId: string,
  body: string,
): Promise<string> {
  const { isSecret, systemMessageId } = await conversations.get(organizationId, conversationId)
  if (!isSecret || systemMessageId === null || !body.includes(systemMessageId)) return body
  const answer: unknown = JSON.parse(body)
  if (!isJsonObject(answer)) return body
  const { chatMessages, chatMessagesCount } = answer
  if (!Array.isArray(chatMessages) || typeof chatMessagesCount !== 'number') return body
  const visible = chatMessages.filter((message) => !isJsonObject(message) || message['messageId'] !== systemMessageId)
  const hidden = chatMessages.length - visible.length
  return JSON.stringify({ ...answer, chatMessages: visible, chatMessagesCount: chatMessagesCount - hidden })
}

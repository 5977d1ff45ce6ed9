import { parseExactly } from '../../lib/exact-json.ts'
import { isJsonObject } from '../../lib/json.ts'
import { withoutReach } from '../tools/shown-tools.ts'
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
  if (!isSecret) return body
  const whole: unknown = parseExactly(body)
  if (!isJsonObject(whole) || !('chatMessages' in whole)) return body
  const { configuration, chatMessages, chatMessagesCount } = whole
  const answer = { ...whole, configuration: isJsonObject(configuration) ? withoutReach(configuration) : null }
  if (!Array.isArray(chatMessages) || typeof chatMessagesCount !== 'number') return JSON.stringify(answer)
  const visible = chatMessages.filter((message) => !isJsonObject(message) || message['messageId'] !== systemMessageId)
  const hidden = chatMessages.length - visible.length
  return JSON.stringify({ ...answer, chatMessages: visible, chatMessagesCount: chatMessagesCount - hidden })
}

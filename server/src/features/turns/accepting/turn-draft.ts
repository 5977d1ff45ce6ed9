import type { Clock } from '../../../lib/clock.ts'
import type { IdSource } from '../../../lib/ids.ts'
import type { Attachment } from '../../attachments/attachment.ts'
import type { ConversationForTurn, Message } from '../../conversations/conversation.ts'
import type { RunKind } from '../run/run.ts'
import type { AcceptedTurn, TurnOrigin } from '../turn.ts'

/** A turn that has a place, and is not stored yet. */
export type Draft = Omit<AcceptedTurn, 'place'>
export type Place = 'held' | 'in line'
/** What a user says, and the files that stand with it. */
export type Said = { text: string; attachments: readonly Attachment[] }
/** What a turn answers: a message there is, what is said in a new one, or what makes it when the run has its id. */
export type Asked = Message | Said | ((run: { runId: string; at: number }) => Message)

const FIRST_FENCE = 1

/** A turn on a conversation. Its new ids stand behind everything that the conversation has, in the order of the talk. */
export function draftTurn(
  { ids, clock }: { ids: IdSource; clock: Clock },
  conversation: ConversationForTurn,
  origin: TurnOrigin,
  kind: RunKind,
  asked: Asked,
  place: Place,
): Draft {
  const acceptedAt = clock()
  const { lastMessageId, messageCount, name } = conversation
  const newId = () => (lastMessageId ? ids.nextAfter(lastMessageId) : ids.next())
  const runId = newId()
  const messageOf = ({ text, attachments }: Said): Message => ({
    id: newId(),
    role: 'user',
    content: text,
    toolCallId: null,
    name: null,
    ...(attachments.length > 0 && { attachments: [...attachments] }),
    runId,
    promptTokens: 0,
    completionTokens: 0,
    createdAt: acceptedAt,
  })
  const made = typeof asked === 'function' ? asked({ runId, at: acceptedAt }) : asked
  const userMessage = 'text' in made ? messageOf(made) : made
  return {
    organizationId: origin.organizationId,
    conversationId: conversation.id,
    runId,
    conversation,
    userMessage,
    replyMessageId: newId(),
    kind,
    isInLine: place === 'in line',
    fence: FIRST_FENCE,
    acceptedAt,
    claimId: origin.claim?.id ?? null,
    keyId: origin.keyId,
    target: { aiSystem: conversation.aiSystem, model: conversation.model },
    budget: null,
    standing: kind === 'send' && place === 'held' ? { lastMessageId, messageCount, name } : null,
  }
}

import type { Static } from 'typebox'
import { badField } from '../../errors.ts'
import { objectWithList, type Pieces } from '../../http/answers/pieces.ts'
import type { Caller } from '../../http/requests/caller.ts'
import { checkMetadata, checkReplacements } from '../../http/requests/fields.ts'
import { checkUserName } from '../../http/requests/user-name.ts'
import { NIL_UUID } from '../../lib/ids.ts'
import type { JsonObject } from '../../lib/json.ts'
import { DEFAULT_TIMEOUTS, type ModelTimeouts } from '../../models/settings.ts'
import { toAttachmentDto } from '../attachments/attachment-wire.ts'
import type { Feedback } from '../feedback/feedback.ts'
import type { NewFeedback } from '../feedback/feedback-service.ts'
import { toAiSystem, toConfiguration } from '../personas/persona-configuration.ts'
import { withoutReach } from '../tools/shown-tools.ts'
import { checkMayReachOut } from '../tools/tool-authority.ts'
import type { Conversation, ConversationChange, Message } from './conversation.ts'
import type {
  ConversationDto,
  CreateConversationRequest,
  CreatePersonaConversationRequest,
  MessageDto,
  SetMessageScoreRequest,
} from './conversation-schemas.ts'
import type { ListedConversation } from './conversation-service.ts'
import type { MessagePieces } from './message-pieces.ts'
import type { GeneralStart, HistoryMessage, PersonaStart } from './start-conversation.ts'

type AnyStart = Static<typeof CreateConversationRequest>

/** Whether a body for a general conversation names a persona: then it is one for a conversation with that. */
export function namesPersona(body: AnyStart): body is AnyStart & { personaId: string } {
  return presentId(body.personaId) !== null
}

export function toPersonaStart(
  organizationId: string,
  body: Static<typeof CreatePersonaConversationRequest>,
): PersonaStart {
  return {
    organizationId,
    personaId: body.personaId.toLowerCase(),
    personaVersionId: presentId(body.personaVersionId),
    ...toBasics(body),
  }
}

type WrittenMessage = NonNullable<Static<typeof CreateConversationRequest>['messages']>[number]

function toHistoryMessage(message: WrittenMessage, i: number): HistoryMessage {
  const { role, content, name, toolCallId, toolCalls = [] } = message
  const calls = toolCalls.map(({ toolCallId: id, name, input }) => ({ id, name, input }))
  if (calls.length > 0 && role !== 'assistant') throw badField(`messages.${i}.toolCalls`, 'is only for the assistant')
  const twice = calls.findIndex(({ id }, n) => calls.findIndex((call) => call.id === id) < n)
  if (twice >= 0) throw badField(`messages.${i}.toolCalls.${twice}.toolCallId`, 'comes twice')
  if (content === '' && calls.length === 0) throw badField(`messages.${i}.content`, 'must not be empty')
  const written = { role, content, name: name ?? null, toolCallId: toolCallId ?? null }
  return calls.length > 0 ? { ...written, toolCalls: calls } : written
}

/** Throws 403 for what the caller may not write into a conversation's own configuration. */
export function toGeneralStart(
  { organizationId, scopes }: Pick<Caller, 'organizationId' | 'scopes'>,
  body: Static<typeof CreateConversationRequest>,
): GeneralStart {
  const history = (body.messages ?? []).map(toHistoryMessage)
  // A history that begins with a system message says the same as `systemMessage`.
  const opening = !body.systemMessage && history[0]?.role === 'system' ? history.shift() : undefined
  const misplaced = history.findIndex(({ role }) => role === 'system')
  if (misplaced >= 0) {
    throw badField(
      `messages.${misplaced + (opening ? 1 : 0)}.role`,
      'must not be system: only one system message, at the beginning',
    )
  }
  return {
    organizationId,
    systemMessage: body.systemMessage || (opening?.content ?? null),
    aiSystem: toAiSystem(body.aiSystem ?? 'default'),
    model: body.model ?? 'default',
    configuration: configurationFrom({ scopes }, body.configuration) ?? null,
    dataspaceIds: body.dataspaceIds ?? null,
    history,
    ...toBasics(body),
  }
}

/** A conversation's own configuration as a caller has written it. Throws 403 for what this one may not write, and 400. */
export function configurationFrom(
  { scopes }: Pick<Caller, 'scopes'>,
  written: Static<typeof CreateConversationRequest>['configuration'],
): JsonObject | undefined {
  checkMayReachOut('configuration', written as JsonObject | null | undefined, scopes)
  checkPatience('configuration', written?.timeouts)
  return written ? toConfiguration('configuration', written) : undefined
}

/** A turn holds its place as long as it waits: only who writes personas may make it wait longer than the server does. */
function checkPatience(field: string, timeouts: ModelTimeouts = {}): void {
  for (const name of ['firstTokenMs', 'betweenTokensMs', 'totalMs'] as const) {
    const most = DEFAULT_TIMEOUTS[name]
    if ((timeouts[name] ?? 0) <= most) continue
    throw badField(`${field}.timeouts.${name}`, `must be <= ${most} here; the configuration of a persona may say more`)
  }
}

/** Generated clients send an id of zeros for one that they do not have. */
function presentId(id: string | null | undefined): string | null {
  return id && id !== NIL_UUID ? id.toLowerCase() : null
}

function toBasics(
  body: Static<typeof CreatePersonaConversationRequest> | Static<typeof CreateConversationRequest>,
): Pick<PersonaStart, 'metadata' | 'externalUserId' | 'replacements'> {
  return {
    metadata: checkMetadata('metadata', body.metadata),
    externalUserId: checkUserName(body.externalUserId),
    replacements: checkReplacements(body.replacements),
  }
}

export function toNewFeedback(body: Static<typeof SetMessageScoreRequest>): NewFeedback {
  return {
    id: presentId(body.feedbackId),
    score: body.score ?? 0,
    comments: body.comments ?? null,
    tags: body.tags ?? null,
    scoreConfidence: body.scoreConfidence ?? null,
  }
}

/**
 * The twenty fields, each present. A secret persona's system message is neither shown nor counted, and where its tools
 * reach is not shown. `transcriptUri` is absolute, and for a conversation that has an archive.
 */
export function toConversationDto(
  conversation: Conversation,
  messages: readonly Message[] | null,
  feedback: ReadonlyMap<string, Feedback[]> = new Map(),
  transcriptUri: string | null = null,
): Static<typeof ConversationDto> {
  const hidden = hiddenIn(conversation)
  const visible = messages?.filter(({ id }) => id !== hidden)
  return {
    conversationId: conversation.id,
    aiSystem: conversation.aiSystem,
    model: conversation.model,
    personaId: conversation.personaId,
    personaVersionId: conversation.personaVersionId,
    conversationStatus: conversation.status,
    conversationName: conversation.name,
    chatMessages: visible?.map((message) => toMessageDto(message, feedback.get(message.id) ?? [])) ?? null,
    chatMessagesCount: conversation.messageCount - (hidden === null ? 0 : 1),
    chatStarted: conversation.isStarted,
    areChatMessagesInBlob: conversation.archivedCount > 0,
    chatMessagesBlobUri: transcriptUri,
    configuration: conversation.isSecret ? withoutReach(conversation.configuration) : conversation.configuration,
    metadata: conversation.metadata,
    externalUserId: conversation.externalUserId,
    isActive: conversation.isActive,
    isDeleted: false,
    promptTokens: conversation.promptTokens,
    completionTokens: conversation.completionTokens,
    totalTokens: conversation.promptTokens + conversation.completionTokens,
  }
}

/**
 * The same twenty fields for one who may change a conversation and not read it: which one it is, whether it is active
 * (which has no null), and what has just been written.
 */
export function toWrittenDto(
  { conversationId, isActive }: { conversationId: string; isActive: boolean },
  written: ConversationChange,
): Static<typeof ConversationDto> {
  return {
    conversationId,
    aiSystem: null,
    model: null,
    personaId: null,
    personaVersionId: null,
    conversationStatus: written.status ?? null,
    conversationName: written.name ?? null,
    chatMessages: null,
    chatMessagesCount: null,
    chatStarted: null,
    areChatMessagesInBlob: null,
    chatMessagesBlobUri: null,
    configuration: written.configuration ?? null,
    metadata: written.metadata ?? null,
    externalUserId: null,
    isActive,
    isDeleted: false,
    promptTokens: null,
    completionTokens: null,
    totalTokens: null,
  }
}

/** The JSON of a conversation, its messages piece by piece. A secret persona's system message is neither shown nor counted. */
export function toConversationPieces(
  { conversation, messages }: Pick<ListedConversation, 'conversation' | 'messages'>,
  transcriptUri: string | null,
): Pieces {
  const { chatMessages: _, ...fields } = toConversationDto(conversation, null, undefined, transcriptUri)
  return objectWithList(fields, 'chatMessages', messages && textsOf(messages, hiddenIn(conversation)))
}

/** The JSON of the messages that may be seen, page by page: all but the one with the id `hidden`. */
export async function* textsOf(messages: MessagePieces, hidden: string | null): AsyncGenerator<string[]> {
  for await (const piece of messages) {
    const visible = piece.messages.filter(({ id }) => id !== hidden)
    yield visible.map((message) => JSON.stringify(toMessageDto(message, piece.feedback.get(message.id) ?? [])))
  }
}

/** The id of the message that nobody gets to see, if there is one. */
export function hiddenIn({ isSecret, systemMessageId }: Conversation): string | null {
  return isSecret ? systemMessageId : null
}

/** The eleven fields of a message; its files, and that models are not sent it, are further ones where that is so. */
export function toMessageDto(message: Message, feedback: readonly Feedback[]): Static<typeof MessageDto> {
  return {
    role: message.role,
    content: message.content,
    toolCallId: message.toolCallId,
    name: message.name,
    messageId: message.id,
    timestamp: new Date(message.createdAt).toISOString(),
    feedbacks: feedback.map(({ id, createdAt, ...rest }) => ({
      feedbackId: id,
      timestamp: new Date(createdAt).toISOString(),
      ...rest,
    })),
    promptTokens: message.promptTokens,
    completionTokens: message.completionTokens,
    totalTokens: message.promptTokens + message.completionTokens,
    conversationRunId: message.runId ?? NIL_UUID,
    ...(message.attachments && { attachments: message.attachments.map(toAttachmentDto) }),
    ...(message.leftOut && { leftOut: message.leftOut }),
  }
}

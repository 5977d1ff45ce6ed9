import {
  AiSystemName,
  AnyObject,
  Named,
  Nullable,
  NullableFlag,
  NullableInteger,
  NullableObject,
  NullableText,
  NullableUuid,
  NullableUuids,
  Timestamp,
  Uuid,
} from '../../http/schemas.ts'
import { type Static, Type } from '../../lib/schema.ts'
import { AttachmentDto, Attachments } from '../attachments/attachment-schemas.ts'
import { NullablePersonaConfiguration } from '../personas/persona-configuration.ts'

const optional = Type.Optional

/** Largest message, in UTF-16 units. */
export const MAX_MESSAGE_LENGTH = 100_000
const ExternalUserId = NullableText(256)

/** What a user says: not empty, and not only white space. */
export const UserText = Type.String({ minLength: 1, maxLength: MAX_MESSAGE_LENGTH, pattern: '\\S' })

const Sending = {
  message: optional(
    Type.Unsafe<string | null>({
      ...UserText,
      type: ['string', 'null'],
      description: 'Sends this as the first user message.',
    }),
  ),
  stream: optional(NullableFlag),
  attachments: Attachments,
}

export const CreatePersonaConversationRequest = Named('CreateGenAiPersonaChatRequest', {
  personaId: Uuid,
  personaVersionId: optional(NullableUuid),
  replacements: optional(NullableObject),
  metadata: optional(NullableObject),
  externalUserId: optional(ExternalUserId),
  ...Sending,
})

const HistoryCall = Type.Object({
  toolCallId: Type.String({ minLength: 1, maxLength: 256 }),
  name: Type.String({ minLength: 1, maxLength: 64 }),
  input: AnyObject,
})
const HistoryMessage = Type.Object({
  role: Type.Enum(['system', 'user', 'assistant', 'tool']),
  content: Type.String({
    maxLength: MAX_MESSAGE_LENGTH,
    description: 'Empty only for a message of the assistant that calls tools.',
  }),
  name: optional(NullableText(256)),
  toolCallId: optional(NullableText(256)),
  toolCalls: optional(Type.Array(HistoryCall, { maxItems: 64 })),
})

export const CreateConversationRequest = Named('CreateGenAiChatRequest', {
  personaId: optional({ ...NullableUuid, description: 'With it, this is the same as `POST /conversations/persona`.' }),
  personaVersionId: optional(NullableUuid),
  aiSystem: optional({ ...Nullable<string | number>(AiSystemName), description: '`default` where there is none.' }),
  model: optional({
    ...Nullable<string>(Type.String({ minLength: 1, maxLength: 200, pattern: '\\S' })),
    description: 'The default model of the AI system where there is none.',
  }),
  systemMessage: optional(NullableText(500_000)),
  configuration: optional(NullablePersonaConfiguration),
  replacements: optional(NullableObject),
  metadata: optional(NullableObject),
  externalUserId: optional(ExternalUserId),
  dataspaceIds: optional(NullableUuids),
  messages: optional(
    Type.Unsafe<
      | {
          role: 'system' | 'user' | 'assistant' | 'tool'
          content: string
          name?: string | null
          toolCallId?: string | null
          toolCalls?: Static<typeof HistoryCall>[]
        }[]
      | null
    >({
      type: ['array', 'null'],
      items: HistoryMessage,
      maxItems: 10_000,
      description: 'What was said before. Only the first may be a system message, and only without `systemMessage`.',
    }),
  ),
  ...Sending,
})

const ConversationIdInBody = { conversationId: optional(NullableUuid) }
const Status = Type.String({ minLength: 1, maxLength: 64, pattern: '\\S' })
const ConversationName = NullableText(256)

export const SetActiveRequest = Named('UpdateChatEntrySetConversationActiveRequest', {
  ...ConversationIdInBody,
  isActive: Type.Boolean(),
})
export const SetMetadataRequest = Named('UpdateChatEntrySetConversationMetadataRequest', {
  ...ConversationIdInBody,
  metadata: NullableObject,
})
export const SetNameRequest = Named('UpdateChatEntrySetConversationNameRequest', {
  ...ConversationIdInBody,
  conversationName: ConversationName,
})
export const SetStatusRequest = Named('UpdateChatEntrySetConversationStatusRequest', {
  ...ConversationIdInBody,
  conversationStatus: Status,
})
export const UpdateConversationRequest = Named('UpdateConversationRequest', {
  ...ConversationIdInBody,
  isActive: optional(Type.Boolean()),
  metadata: optional(NullableObject),
  conversationName: optional(ConversationName),
  conversationStatus: optional(Status),
  configuration: optional(NullablePersonaConfiguration),
})
export const SetConversationScoreRequest = Named('UpdateConversationScoreRequest', {
  ...ConversationIdInBody,
  score: optional(
    Type.Unsafe<number | null>({ type: ['integer', 'null'], minimum: -2_147_483_648, maximum: 2_147_483_647 }),
  ),
  scoreText: optional(NullableText(10_000)),
  scoreTags: optional(NullableText(2_000)),
})
export const SetMessageScoreRequest = Named('UpsertRunScoreRequest', {
  messageId: optional(NullableUuid),
  feedbackId: optional(NullableUuid),
  score: optional(Type.Integer({ minimum: -10, maximum: 10 })),
  comments: optional(NullableText(10_000)),
  tags: optional(
    Type.Unsafe<string[] | null>({ type: ['array', 'null'], items: { type: 'string', maxLength: 256 }, maxItems: 100 }),
  ),
  scoreConfidence: optional(Type.Unsafe<number | null>({ type: ['number', 'null'], minimum: 0, maximum: 1 })),
})

const RunFeedback = Type.Object({
  feedbackId: Uuid,
  score: Type.Integer(),
  comments: NullableText(),
  tags: Type.Unsafe<string[] | null>({ type: ['array', 'null'], items: { type: 'string' } }),
  timestamp: Timestamp,
  scoreConfidence: Type.Unsafe<number | null>({ type: ['number', 'null'] }),
})

export const MessageDto = Named('HyperleapChatMessageResponse', {
  role: Type.String(),
  content: Type.String(),
  toolCallId: NullableText(),
  name: NullableText(),
  messageId: Uuid,
  timestamp: Timestamp,
  feedbacks: Type.Array(RunFeedback),
  promptTokens: Type.Integer(),
  completionTokens: Type.Integer(),
  totalTokens: Type.Integer(),
  conversationRunId: Uuid,
  attachments: optional(Type.Array(AttachmentDto, { description: 'Only where there are some.' })),
  leftOut: optional(
    Type.Enum(['refused'], {
      description: 'Only where a provider has refused the message: it stays here, and models are not sent it any more.',
    }),
  ),
})

export const ConversationDto = Named('ChatEntryResponse', {
  conversationId: Uuid,
  aiSystem: NullableText(),
  model: NullableText(),
  personaId: NullableUuid,
  personaVersionId: NullableUuid,
  conversationStatus: NullableText(),
  conversationName: NullableText(),
  chatMessages: Type.Unsafe<unknown[] | null>({ type: ['array', 'null'], items: MessageDto }),
  chatMessagesCount: NullableInteger,
  chatStarted: NullableFlag,
  areChatMessagesInBlob: NullableFlag,
  chatMessagesBlobUri: NullableText(),
  configuration: NullableObject,
  metadata: NullableObject,
  externalUserId: NullableText(),
  isActive: Type.Boolean(),
  isDeleted: Type.Boolean(),
  promptTokens: NullableInteger,
  completionTokens: NullableInteger,
  totalTokens: NullableInteger,
})

export const ConversationResultSet = Named('ChatEntryResponseResultSet', {
  data: Type.Array(ConversationDto),
  continuationToken: NullableText(),
})

import { Type } from 'typebox'
import { Named, NullableText, NullableUuid, Uuid } from '../../http/schemas.ts'
import { UserText } from '../conversations/conversation-schemas.ts'

export const UserMessage = Named('GenAiUserMessage', { message: UserText })

export const UsageDto = Named('GenAiUsage', {
  prompt_tokens: Type.Integer(),
  completion_tokens: Type.Integer(),
  total_tokens: Type.Integer(),
})

const Choice = Type.Object({
  finish_reason: NullableText(),
  index: Type.Integer(),
  message: Type.Object({
    role: NullableText(),
    content: NullableText(),
    toolCallId: NullableText(),
    name: NullableText(),
  }),
})

export const ChatResponse = Named('GenAiChatResponse', {
  id: NullableText(),
  object: NullableText(),
  created: Type.Integer(),
  choices: Type.Array(Choice),
  usage: UsageDto,
  messageId: Uuid,
  runId: NullableUuid,
  httpRequestId: Uuid,
  citations: Type.Array(Type.Unknown()),
})

/** For the document: the streams are written by hand, piece by piece. */
export const StreamItem = Named('GenAiStreamingChatChoice', {
  choice: Type.Object({
    finish_reason: NullableText(),
    index: Type.Integer(),
    message: Type.Object({ role: Type.Optional(Type.String()), content: Type.String() }),
  }),
  usage: Type.Optional(UsageDto),
  messageId: Uuid,
  runId: Uuid,
})

export const CancelReceipt = Named('CancelReceipt', {
  runId: Uuid,
  status: Type.String(),
  finishReason: NullableText(),
  textLength: Type.Integer({ description: 'UTF-16 units of text that are kept.' }),
  usage: UsageDto,
})

import type { ErrorCode } from '../../../errors.ts'
import {
  AnyObject,
  ErrorFields,
  Named,
  Nullable,
  NullableText,
  NullableTimestamp,
  NullableUuid,
  Timestamp,
  Uuid,
} from '../../../http/schemas.ts'
import { type Static, Type } from '../../../lib/schema.ts'
import { Attachments } from '../../attachments/attachment-schemas.ts'
import { UserText } from '../../conversations/conversation-schemas.ts'

export const UserMessage = Named('GenAiUserMessage', { message: UserText, attachments: Attachments })

/** The new text of a message that is changed; without `attachments` its files stay. */
export const EditedMessage = Named('EditedMessage', { content: UserText, attachments: Attachments })

export const UsageDto = Named('GenAiUsage', {
  prompt_tokens: Type.Integer(),
  completion_tokens: Type.Integer(),
  total_tokens: Type.Integer(),
  completion_tokens_details: Type.Optional(
    Type.Object({
      reasoning_tokens: Type.Integer({ description: 'Those of thoughts, where the provider counts them.' }),
    }),
  ),
})

const ToolCallDto = Named('ToolCall', { toolCallId: Type.String(), name: Type.String(), input: AnyObject })

const Choice = Type.Object({
  finish_reason: NullableText(),
  index: Type.Integer(),
  message: Type.Object({
    role: NullableText(),
    content: NullableText(),
    toolCallId: NullableText(),
    name: NullableText(),
    toolCalls: Type.Optional(Type.Array(ToolCallDto)),
    reasoning: Type.Optional(Type.String({ description: 'What the model thought, with `reasoning=true`.' })),
  }),
})

export type ChatResponse = Static<typeof ChatResponse>
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
    message: Type.Object({
      role: Type.Optional(Type.String()),
      content: Type.String(),
      toolCalls: Type.Optional(Type.Array(ToolCallDto)),
      toolCallId: Type.Optional(Type.String()),
      name: Type.Optional(Type.String()),
      reasoning: Type.Optional(Type.String({ description: 'A piece of a thought, with `reasoning=true`.' })),
    }),
  }),
  contentWasReasoning: Type.Optional(
    Type.Boolean({ description: 'All text of this reply so far was a thought: what follows is the reply.' }),
  ),
  status: Type.Optional(Type.String({ description: '`waiting` for an approval.' })),
  waitingFor: Type.Optional(Type.Array(Type.String({ description: 'The id of a call.' }))),
  usage: Type.Optional(UsageDto),
  citations: Type.Optional(Type.Array(Type.Unknown(), { description: 'In the last item, where there are some.' })),
  messageId: Uuid,
  runId: Uuid,
  error: Type.Optional({ ...ErrorFields, description: 'Of the last item of an array whose reply broke off.' }),
})

/** A stream of server-sent events: their text, and for the document what stands in `data`. */
export const Events = Type.String({
  title: 'Events',
  description:
    'Server-sent events: `data` is a `GenAiStreamingChatChoice` with the new text only; the last is `[DONE]`.',
})

/** What everything can fail with that begins a turn or shows its reply. */
export const OF_A_TURN = [
  'forbidden',
  'not_found',
  'conflict',
  'gone',
  'unprocessable_entity',
  'cancelled',
  'provider_error',
  'unavailable',
  'provider_timeout',
] as const satisfies readonly ErrorCode[]

/** A whole reply, or its events where the request accepts `text/event-stream`. */
export const WHOLE_OR_EVENTS = { 'application/json': ChatResponse, 'text/event-stream': Events }

export const CancelReceipt = Named('CancelReceipt', {
  runId: Uuid,
  status: Type.String(),
  finishReason: NullableText(),
  textLength: Type.Integer({ description: 'UTF-16 units of text that are kept.' }),
  usage: UsageDto,
})

const AttemptDto = Type.Object({
  aiSystem: Type.String(),
  model: Type.String(),
  outcome: Type.String({ description: '`completed`, or what went wrong.' }),
  error: NullableText(),
  startedAt: Timestamp,
  firstTokenAt: NullableTimestamp,
  endedAt: Timestamp,
  usage: Nullable(UsageDto),
  finishReason: { ...NullableText(), description: "The provider's own word, where it is none of ours." },
})

const SentContextDto = Type.Object({
  policy: Type.String({ description: '`truncate` or `summarize`.' }),
  window: Type.Integer({ description: 'Tokens that the models of the conversation can see.' }),
  firstMessageId: { ...NullableUuid, description: 'The oldest message that was sent.' },
  messages: Type.Integer({ description: 'How many messages were sent, the newest one included.' }),
  systemTokens: Type.Integer({ description: 'Of the system text, the summary included; estimated.' }),
  historyTokens: Type.Integer({ description: 'Of the messages; estimated.' }),
  summaryVersion: Type.Unsafe<number | null>({ type: ['integer', 'null'] }),
})

const Milliseconds = Type.Unsafe<number | null>({ type: ['integer', 'null'], description: 'Since `startedAt`.' })

export const RunDto = Named('Run', {
  runId: Uuid,
  conversationId: Uuid,
  kind: Type.String({ description: '`send`, `regenerate`, `edit`, `tools`, `summary` or `title`.' }),
  status: Type.String({
    description:
      '`accepted` (waits for its place), `running`, `waiting` (for an approval), `completed`, `failed`, `cancelled` or `interrupted`.',
  }),
  finishReason: NullableText(),
  userMessageId: Uuid,
  messageId: Type.String({ format: 'uuid', description: 'Of the reply, if it has come to one.' }),
  aiSystem: Type.String(),
  model: Type.String(),
  usage: UsageDto,
  isUsageEstimated: Type.Boolean({ description: 'The provider did not say.' }),
  context: Nullable(SentContextDto),
  createdAt: Timestamp,
  startedAt: NullableTimestamp,
  firstTokenAt: NullableTimestamp,
  endedAt: NullableTimestamp,
  timeToFirstTokenMs: Milliseconds,
  durationMs: Milliseconds,
  restarts: Type.Integer({ description: 'How often it was started again after a crash.' }),
  attempts: Type.Array(AttemptDto),
  error: Nullable(Type.Object({ code: Type.String(), message: Type.String() })),
  reasoning: Type.Optional(
    Type.Unsafe<string | null>({
      type: ['string', 'null'],
      description: 'What the model thought, with `reasoning=true` and once the run has ended.',
    }),
  ),
})

export const RunPage = Named('RunPage', { data: Type.Array(RunDto), continuationToken: NullableText() })

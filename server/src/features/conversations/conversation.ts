import type { JsonObject } from '../../lib/json.ts'
import type { Thoughts } from '../../models/thinking/thoughts.ts'
import type { ToolCall } from '../../models/tool-call.ts'
import type { Attachment } from '../attachments/attachment.ts'

export type MessageRole = 'system' | 'user' | 'assistant' | 'tool'

export type Message = {
  id: string
  role: MessageRole
  content: string
  toolCallId: string | null
  name: string | null
  /** What the model has called with this message; absent where it has not. */
  toolCalls?: ToolCall[]
  /** What the provider wants back with it, which is shown to nobody; absent where there is nothing. */
  thoughts?: Thoughts
  /** The files that stand with it; absent where there are none. */
  attachments?: Attachment[]
  /** The run that took or made it; null for what was there before any run. */
  runId: string | null
  promptTokens: number
  completionTokens: number
  /** A provider has refused it, so models are not sent it any more; absent where they are. */
  leftOut?: 'refused'
  createdAt: number
}

export type Conversation = {
  id: string
  organizationId: string
  personaId: string | null
  personaVersionId: string | null
  externalUserId: string | null
  status: string
  name: string | null
  aiSystem: string
  model: string
  configuration: JsonObject | null
  metadata: JsonObject | null
  dataspaceIds: string[] | null
  isActive: boolean
  /** True once there is a message of a user. */
  isStarted: boolean
  /** All messages, the system message included. */
  messageCount: number
  /** How many of them are in the archive. */
  archivedCount: number
  systemMessageId: string | null
  lastMessageId: string | null
  promptTokens: number
  completionTokens: number
  createdAt: number
  /** Whether the persona is secret now: then nobody gets to see the system message. */
  isSecret: boolean
}

/** What a turn needs to know of its conversation. */
export type ConversationForTurn = Omit<Conversation, 'metadata' | 'dataspaceIds'> & { systemText: string | null }

/** The same without what no turn needs, which may be large. */
export function forTurn(conversation: Conversation, systemText: string | null): ConversationForTurn {
  const { metadata: _metadata, dataspaceIds: _dataspaceIds, ...rest } = conversation
  return { ...rest, systemText }
}

/**
 * How far a conversation has come: every change of its messages changes one of the first two, whichever server makes it. The
 * name can be taken away, and then the next turn gives another.
 */
export type Standing = Pick<Conversation, 'lastMessageId' | 'messageCount' | 'name'>

/** What callers may change at any time; absent is unchanged. */
export type ConversationChange = {
  isActive?: boolean
  metadata?: JsonObject | null
  name?: string | null
  status?: string
  /** Members in the place of those that there are; null takes away all. */
  configuration?: JsonObject | null
}

/** Which persona a list is about: one, any (but no general conversations), none (only those), or all. */
export type PersonaChoice = { kind: 'one'; personaId: string } | { kind: 'any' | 'none' | 'all' }

export type ConversationFilter = {
  persona: PersonaChoice
  externalUserId: string | null
  isActive: boolean | null
  status: string | null
  /** Created at or after, and at or before: milliseconds. */
  from: number | null
  to: number | null
  /** Members of the metadata, and what they print as. */
  metadata: { key: string; value: string }[]
}

import type { Kysely } from 'kysely'

/** 0 or 1: SQLite has no boolean, and one set of queries wants one type. */
export type Flag = 0 | 1

/** A JSON document as text: what was written is what is read, keys in their order. */
export type JsonText = string

type OrganizationTable = { id: string; name: string; token_secret: string; created_at: number }

type ApiKeyTable = {
  organization_id: string
  id: string
  name: string
  prefix: string
  hash: string
  scopes: JsonText
  created_at: number
  /** Tokens that the key may use in a day; null for no limit. */
  daily_tokens: number | null
  expires_at: number | null
  revoked_at: number | null
  last_used_at: number | null
}

type PersonaTable = {
  organization_id: string
  id: string
  name: string
  description: string
  tags: string | null
  image_url: string | null
  metadata: JsonText | null
  default_version_id: string
  is_active: Flag
  is_api_enabled: Flag
  is_secret: Flag
  is_chattable: Flag
  is_tool: Flag
  is_chatbot: Flag
  /** What `q` searches: name and description in lower case. Folded here, because the databases fold letters differently. */
  search_text: string
  /** The tags in lower case, each between commas. */
  search_tags: string
  /** Goes up with every change, so that a change that was based on an older state is noticed. */
  revision: number
  created_at: number
  modified_at: number | null
  deleted_at: number | null
}

type PersonaVersionTable = {
  organization_id: string
  persona_id: string
  id: string
  text: string | null
  greeting: string | null
  ai_system: string
  model: string
  configuration: JsonText | null
  metadata: JsonText | null
  dataspace_ids: JsonText | null
  is_active: Flag
  created_at: number
  modified_at: number | null
}

type ConversationTable = {
  organization_id: string
  id: string
  persona_id: string | null
  persona_version_id: string | null
  external_user_id: string | null
  status: string
  name: string | null
  ai_system: string
  model: string
  configuration: JsonText | null
  metadata: JsonText | null
  dataspace_ids: JsonText | null
  is_active: Flag
  is_started: Flag
  /** All messages, the system message included. */
  message_count: number
  /** How many of them are in archive segments and not in `message`. */
  archived_count: number
  system_message_id: string | null
  last_message_id: string | null
  prompt_tokens: number
  completion_tokens: number
  score: number | null
  score_text: string | null
  score_tags: string | null
  created_at: number
  deleted_at: number | null
}

type MessageTable = {
  organization_id: string
  conversation_id: string
  /** Greater than the id of every earlier message of the conversation: the order of ids is the order of the talk. */
  id: string
  role: string
  content: string
  tool_call_id: string | null
  name: string | null
  /** What the model has called with it; null for a message without calls. */
  tool_calls: JsonText | null
  /** The files that stand with it, see `attachments/attachment.ts`; null for a message without. */
  attachments: JsonText | null
  /** What its provider wants back with it, see `models/thinking/thoughts.ts`; null for a message without. */
  thoughts: JsonText | null
  run_id: string | null
  prompt_tokens: number
  completion_tokens: number
  /** Why models are not sent it any more; null where they are. */
  left_out: string | null
  created_at: number
}

type RunTable = {
  organization_id: string
  conversation_id: string
  id: string
  user_message_id: string
  reply_message_id: string
  status: string
  ai_system: string
  model: string
  attempts: JsonText
  finish_reason: string | null
  error: JsonText | null
  request_id: string | null
  /** What began it: `send`, `regenerate` or `edit`. */
  kind: string
  /** `keep` or `restart`. */
  on_crash: string
  /** How often it has been started again after a crash. */
  restarts: number
  /** The idempotency claim that its request made, if it made one. */
  claim_id: string | null
  api_key_id: string | null
  /** The day (UTC, `2026-01-31`) whose budget its tokens count against; null for a key without a budget. */
  budget_day: string | null
  reserved_tokens: number
  prompt_tokens: number
  completion_tokens: number
  usage_is_estimated: Flag
  /** What the model was sent, see `turns/sent-context.ts`; null when it was not asked, or nobody knows. */
  context: JsonText | null
  /** Where the reply's events begin and end, see `turns/event-lengths.ts`; null while the run is under way. */
  event_lengths: string | null
  created_at: number
  started_at: number | null
  first_token_at: number | null
  ended_at: number | null
}

/** The turn under way on a conversation. Its primary key is what makes a second one a conflict. */
type RunningTurnTable = {
  organization_id: string
  conversation_id: string
  run_id: string
  /** Which holder may write: a node whose lease was taken over finds another number here. */
  fence: number
  node_id: string
  expires_at: number
  /** `cancelled` or `interrupted`, where another node wants the holder to stop. */
  stop_requested: string | null
}

/** A turn that waits for the ones before it on its conversation; the order of run ids is the order of the line. */
type WaitingTurnTable = {
  organization_id: string
  conversation_id: string
  run_id: string
  /** The node that will execute it, and until when it is known to live. */
  node_id: string
  expires_at: number
}

/** Messages that a regenerated reply or an edited message has replaced: out of the conversation, and kept. */
type ReplacedMessageTable = MessageTable & {
  /** The run that replaced it. */
  replaced_by: string
  replaced_at: number
}

/** A request that named an `Idempotency-Key`: claimed in the batch of its effect. */
type IdempotencyClaimTable = {
  organization_id: string
  /** Hash of the operation and the key. */
  id: string
  body_hash: string
  /** The run that the request began: its answer is read from the run. */
  conversation_id: string | null
  run_id: string | null
  /** The answer of a request that began none; null while it is not there yet. */
  status: number | null
  headers: JsonText | null
  body: string | null
  created_at: number
}

/** What a key has used of a day's budget. */
type TokenBudgetTable = {
  organization_id: string
  api_key_id: string
  /** UTC, `2026-01-31`. */
  day: string
  /** By runs that have not ended. */
  reserved: number
  used: number
}

/**
 * Events of runs under way, as they were committed. Gone when the run has ended and the message holds the text; those of
 * a run that called tools are put together into one row that stays.
 */
type RunChunkTable = {
  organization_id: string
  run_id: string
  first_event: number
  text: string
  event_lengths: string
}

/** A summary of the older part of a conversation; each version takes in what has been said since the one before. */
type ConversationSummaryTable = {
  organization_id: string
  conversation_id: string
  version: number
  /** The last message that it stands for. */
  up_to_message_id: string
  /** Null while it is being made. */
  text: string | null
  /** Of the text, estimated. */
  tokens: number
  ai_system: string | null
  model: string | null
  /** The run that makes it, or has made it. */
  run_id: string
  /** When whoever makes it is given up; null when it is there. */
  expires_at: number | null
  created_at: number
}

type FeedbackTable = {
  organization_id: string
  conversation_id: string
  message_id: string
  id: string
  score: number
  comments: string | null
  tags: JsonText | null
  score_confidence: number | null
  created_at: number
}

/** An erasure under way: what is to be erased, until it is; a server that starts finds here what another has left. */
type ErasureTable = {
  organization_id: string
  id: string
  /** One of these, and null again when the rows are gone and only the files are left to clean. */
  external_user_id: string | null
  conversation_id: string | null
  created_at: number
}

/** What erased runs had cost, so that totals stay what they were. */
type ErasedUsageTable = {
  organization_id: string
  /** On which they began: UTC, `2026-01-31`. */
  day: string
  ai_system: string
  model: string
  runs: number
  prompt_tokens: number
  completion_tokens: number
}

/** How many conversations were erased, by the day (UTC) on which they had begun, and how many messages they had. */
type ErasedConversationsTable = { organization_id: string; day: string; conversations: number; messages: number }

/** A file with messages of a conversation that are not in `message` any more. Its blob is never written again. */
type ArchiveSegmentTable = {
  organization_id: string
  conversation_id: string
  /** From 1, in the order of the messages. */
  number: number
  first_id: string
  last_id: string
  message_count: number
  blob_key: string
  /** SHA-256 of the blob's bytes, hexadecimal, and how many there are. */
  sha256: string
  byte_count: number
  created_at: number
}

/** A file that a user has given, and its blob. */
type AttachmentTable = {
  organization_id: string
  conversation_id: string
  id: string
  /** The first message that it stands with; null as long as none does. */
  message_id: string | null
  name: string
  media_type: string
  byte_count: number
  /** SHA-256 of the bytes, hexadecimal. */
  sha256: string
  /** About how many it takes in a prompt. */
  tokens: number
  blob_key: string
  created_at: number
}

/** A blob that belongs to nothing: it is being written, or nobody needs it any more. */
type UnclaimedBlobTable = {
  organization_id: string
  blob_key: string
  /** It may not be claimed any more: it is to be deleted. */
  is_doomed: Flag
  /** When it is doomed unless it has been claimed. */
  due_at: number
}

/** What somebody has decided about a call that needs an approval; gone when the run has ended. */
type ToolDecisionTable = {
  organization_id: string
  conversation_id: string
  run_id: string
  tool_call_id: string
  /** `approved`, `rejected`, or `taken`: approved, and the call may have been made. */
  decision: string
}

/** A call that needs an approval, and waits for it; gone when somebody has decided, or the run has ended. */
type WaitingCallTable = {
  organization_id: string
  conversation_id: string
  run_id: string
  tool_call_id: string
  /** Of its own: the order of ids is the order in which calls began to wait. */
  id: string
  name: string
  input: JsonText
  created_at: number
  expires_at: number
}

/** A value that only the server can read: encrypted with a key that is not in the database. */
type SecretTable = {
  organization_id: string
  name: string
  sealed: string
  /** Of the key that it is encrypted with, see `secrets/secret-keys.ts`; `-` where nobody has written that down. */
  key_id: string
  /** Where it may go; null for any host. */
  hosts: JsonText | null
  created_at: number
  modified_at: number
}

/** Every table. All but `organization` have a key that begins with the organization; times are milliseconds. */
export type Schema = {
  organization: OrganizationTable
  api_key: ApiKeyTable
  persona: PersonaTable
  persona_version: PersonaVersionTable
  conversation: ConversationTable
  message: MessageTable
  run: RunTable
  running_turn: RunningTurnTable
  run_chunk: RunChunkTable
  waiting_turn: WaitingTurnTable
  replaced_message: ReplacedMessageTable
  idempotency_claim: IdempotencyClaimTable
  token_budget: TokenBudgetTable
  conversation_summary: ConversationSummaryTable
  feedback: FeedbackTable
  secret: SecretTable
  tool_decision: ToolDecisionTable
  waiting_call: WaitingCallTable
  archive_segment: ArchiveSegmentTable
  attachment: AttachmentTable
  unclaimed_blob: UnclaimedBlobTable
  erasure: ErasureTable
  erased_usage: ErasedUsageTable
  erased_conversations: ErasedConversationsTable
}

export type QueryBuilder = Kysely<Schema>

import { type Selectable, sql } from 'kysely'
import { PIECE_BYTES } from '../../http/answers/pieces.ts'
import type { ConversationKey } from '../../lib/conversation-key.ts'
import { parseExactly } from '../../lib/exact-json.ts'
import { cutBySize } from '../../lib/text/cut-by-size.ts'
import type { Thoughts } from '../../models/thinking/thoughts.ts'
import type { ToolCall } from '../../models/tool-call.ts'
import type { Database } from '../../storage/database.ts'
import { asColumn, type Parameters, prepareRead, prepareWrite } from '../../storage/prepare.ts'
import type { Schema } from '../../storage/schema.ts'
import type { Attachment } from '../attachments/attachment.ts'
import type { Message, MessageRole } from './conversation.ts'

type MessageRow = Selectable<Schema['message']>

const insertMessageRow = prepareWrite(
  (db, p: Parameters<Omit<MessageRow, 'left_out'>>) =>
    db.insertInto('message').values({
      organization_id: p('organization_id'),
      conversation_id: p('conversation_id'),
      id: p('id'),
      role: p('role'),
      content: p('content'),
      tool_call_id: p('tool_call_id'),
      name: p('name'),
      tool_calls: p('tool_calls'),
      attachments: p('attachments'),
      thoughts: p('thoughts'),
      run_id: p('run_id'),
      prompt_tokens: p('prompt_tokens'),
      completion_tokens: p('completion_tokens'),
      created_at: p('created_at'),
    }),
  { isIndependent: true },
)

/** Messages that are measured before some of them are read: a few microseconds each. */
const MEASURED = 100

/** Bytes of a message's text, as far as they are known without reading it. */
export const bytesOfMessage = sql<number>`(octet_length(content) + coalesce(octet_length(tool_calls), 0) + coalesce(octet_length(thoughts), 0))`

const selectSizesAfter = prepareRead((db, p: Parameters<ConversationKey & { after: string; limit: number }>) =>
  db
    .selectFrom('message')
    .select(['id', bytesOfMessage.as('bytes')])
    .where('organization_id', '=', p('organizationId'))
    .where('conversation_id', '=', p('conversationId'))
    .where('id', '>', p('after'))
    .orderBy('id')
    .limit(p('limit')),
)

const selectNewestSizes = prepareRead((db, p: Parameters<ConversationKey & { limit: number }>) =>
  db
    .selectFrom('message')
    .select(['id', bytesOfMessage.as('bytes')])
    .where('organization_id', '=', p('organizationId'))
    .where('conversation_id', '=', p('conversationId'))
    .where('role', '!=', 'system')
    .orderBy('id', 'desc')
    .limit(p('limit')),
)

const selectMessagesBetween = prepareRead((db, p: Parameters<ConversationKey & { first: string; last: string }>) =>
  db
    .selectFrom('message')
    .selectAll()
    .where('organization_id', '=', p('organizationId'))
    .where('conversation_id', '=', p('conversationId'))
    .where('id', '>=', p('first'))
    .where('id', '<=', p('last'))
    .orderBy('id'),
)

const selectMessagesBefore = prepareRead((db, p: Parameters<ConversationKey & { before: string; limit: number }>) =>
  db
    .selectFrom('message')
    .selectAll()
    // In the same read, because every turn does it and few conversations have an archive.
    .select((eb) =>
      eb
        .selectFrom('conversation')
        .select('conversation.archived_count')
        .where('conversation.organization_id', '=', p('organizationId'))
        .where('conversation.id', '=', p('conversationId'))
        .as('archived_count'),
    )
    .where('organization_id', '=', p('organizationId'))
    .where('conversation_id', '=', p('conversationId'))
    .where('id', '<=', p('before'))
    .where('role', '!=', 'system')
    .orderBy('id', 'desc')
    .limit(p('limit')),
)

const selectMessage = prepareRead((db, p: Parameters<ConversationKey & { id: string }>) =>
  db
    .selectFrom('message')
    .selectAll()
    .where('organization_id', '=', p('organizationId'))
    .where('conversation_id', '=', p('conversationId'))
    .where('id', '=', p('id')),
)

const selectLastUserMessage = prepareRead((db, p: Parameters<ConversationKey>) =>
  db
    .selectFrom('message')
    .selectAll()
    .where('organization_id', '=', p('organizationId'))
    .where('conversation_id', '=', p('conversationId'))
    .where('role', '=', 'user')
    .orderBy('id', 'desc')
    .limit(1),
)

type Replaced = ConversationKey & { from: string; before: string }

const MESSAGE_COLUMNS = [
  'organization_id',
  'conversation_id',
  'id',
  'role',
  'content',
  'tool_call_id',
  'name',
  'tool_calls',
  'attachments',
  'thoughts',
  'run_id',
  'prompt_tokens',
  'completion_tokens',
  'left_out',
  'created_at',
] as const

/** Keeps the messages from `from` up to, not including, `before` outside the conversation. */
export const keepReplaced = prepareWrite((db, p: Parameters<Replaced & { by: string; at: number }>, { columnTypes }) =>
  db
    .insertInto('replaced_message')
    .columns([...MESSAGE_COLUMNS, 'replaced_by', 'replaced_at'])
    .expression(
      db
        .selectFrom('message')
        .select([
          ...MESSAGE_COLUMNS,
          asColumn(p('by'), columnTypes.id).as('replaced_by'),
          asColumn(p('at'), columnTypes.count).as('replaced_at'),
        ])
        .where('organization_id', '=', p('organizationId'))
        .where('conversation_id', '=', p('conversationId'))
        .where('id', '>=', p('from'))
        .where('id', '<', p('before')),
    ),
)

export const deleteReplaced = prepareWrite((db, p: Parameters<Replaced>) =>
  db
    .deleteFrom('message')
    .where('organization_id', '=', p('organizationId'))
    .where('conversation_id', '=', p('conversationId'))
    .where('id', '>=', p('from'))
    .where('id', '<', p('before')),
)

/** Says of the messages from one id to another whether models are to be sent them. */
export const setLeftOut = prepareWrite(
  (db, p: Parameters<ConversationKey & { from: string; to: string; why: string | null }>) =>
    db
      .updateTable('message')
      .set({ left_out: p('why') })
      .where('organization_id', '=', p('organizationId'))
      .where('conversation_id', '=', p('conversationId'))
      .where('role', '!=', 'system')
      .where('id', '>=', p('from'))
      .where('id', '<=', p('to')),
)

/** The same of a question and its run, if nothing else stands behind it: then it was answered before. */
export const leaveOutUnanswered = prepareWrite(
  (db, p: Parameters<ConversationKey & { from: string; to: string; runId: string }>) =>
    db
      .updateTable('message')
      .set({ left_out: 'refused' })
      .where('organization_id', '=', p('organizationId'))
      .where('conversation_id', '=', p('conversationId'))
      .where((eb) =>
        eb.or([eb('run_id', '=', p('runId')), eb.and([eb('id', '>=', p('from')), eb('id', '<=', p('to'))])]),
      )
      .where(({ not, exists, selectFrom }) =>
        not(
          exists(
            selectFrom('message as other')
              .select('other.id')
              .where('other.organization_id', '=', p('organizationId'))
              .where('other.conversation_id', '=', p('conversationId'))
              .where('other.id', '>', p('from'))
              .where('other.run_id', 'is distinct from', p('runId')),
          ),
        ),
      ),
)

const selectReplacedMessage = prepareRead((db, p: Parameters<ConversationKey & { id: string }>) =>
  db
    .selectFrom('replaced_message')
    .select(MESSAGE_COLUMNS)
    .where('organization_id', '=', p('organizationId'))
    .where('conversation_id', '=', p('conversationId'))
    .where('id', '=', p('id')),
)

/** The statement that stores a message. */
export function insertMessage(database: Database, key: ConversationKey, message: Message) {
  return insertMessageRow(database, {
    organization_id: key.organizationId,
    conversation_id: key.conversationId,
    id: message.id,
    role: message.role,
    content: message.content,
    tool_call_id: message.toolCallId,
    name: message.name,
    tool_calls: message.toolCalls ? JSON.stringify(message.toolCalls) : null,
    attachments: message.attachments ? JSON.stringify(message.attachments) : null,
    thoughts: message.thoughts ? JSON.stringify(message.thoughts) : null,
    run_id: message.runId,
    prompt_tokens: message.promptTokens,
    completion_tokens: message.completionTokens,
    created_at: message.createdAt,
  })
}

/** The next messages behind `after`, as many as fit in {@link PIECE_BYTES} and at least one; and whether they are the last. */
export async function findPieceAfter(
  database: Database,
  key: ConversationKey,
  after: string,
): Promise<{ messages: Message[]; isLast: boolean }> {
  const sizes = await selectSizesAfter(database, { ...key, after, limit: MEASURED })
  const [piece = []] = cutBySize(sizes, PIECE_BYTES, ({ bytes }) => bytes)
  const isLast = piece.length === sizes.length && sizes.length < MEASURED
  return { messages: await findBetween(database, key, piece), isLast }
}

/** The newest `limit` messages that are not the system's, oldest first, in pieces. */
export async function* findNewestInPieces(
  database: Database,
  key: ConversationKey,
  limit: number,
): AsyncGenerator<Message[]> {
  const sizes = (await selectNewestSizes(database, { ...key, limit })).reverse()
  for (const piece of cutBySize(sizes, PIECE_BYTES, ({ bytes }) => bytes)) yield await findBetween(database, key, piece)
}

async function findBetween(database: Database, key: ConversationKey, piece: readonly { id: string }[]) {
  const [first, last] = [piece[0]?.id, piece.at(-1)?.id]
  if (first === undefined || last === undefined) return []
  return (await selectMessagesBetween(database, { ...key, first, last })).map(toMessage)
}

/**
 * Up to `limit` messages that are not the system's, newest first, from the message `before` on; and whether there are
 * older ones in the archive.
 */
export async function findMessagesBefore(
  database: Database,
  key: ConversationKey,
  before: string,
  limit: number,
): Promise<{ messages: Message[]; hasArchive: boolean }> {
  const rows = await selectMessagesBefore(database, { ...key, before, limit })
  return { messages: rows.map(toMessage), hasArchive: (rows[0]?.archived_count ?? 0) > 0 }
}

export async function findMessage(
  database: Database,
  key: ConversationKey & { id: string },
): Promise<Message | undefined> {
  const row = (await selectMessage(database, key))[0]
  return row && toMessage(row)
}

export async function findLastUserMessage(database: Database, key: ConversationKey): Promise<Message | undefined> {
  const row = (await selectLastUserMessage(database, key))[0]
  return row && toMessage(row)
}

/** A message that another has taken the place of. */
export async function findReplacedMessage(
  database: Database,
  key: ConversationKey & { id: string },
): Promise<Message | undefined> {
  const row = (await selectReplacedMessage(database, key))[0]
  return row && toMessage(row)
}

export function toMessage(row: MessageRow): Message {
  return {
    id: row.id,
    role: row.role as MessageRole,
    content: row.content,
    toolCallId: row.tool_call_id,
    name: row.name,
    ...(row.tool_calls !== null && { toolCalls: parseExactly(row.tool_calls) as unknown as ToolCall[] }),
    ...(row.attachments !== null && { attachments: JSON.parse(row.attachments) as Attachment[] }),
    ...(row.thoughts !== null && { thoughts: JSON.parse(row.thoughts) as Thoughts }),
    runId: row.run_id,
    promptTokens: row.prompt_tokens,
    completionTokens: row.completion_tokens,
    ...(row.left_out !== null && { leftOut: row.left_out as 'refused' }),
    createdAt: row.created_at,
  }
}

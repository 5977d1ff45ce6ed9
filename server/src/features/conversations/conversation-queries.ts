import { type Selectable, sql } from 'kysely'
import { successorOf } from '../../lib/ids.ts'
import { arrayFromText, type JsonObject, objectFromText, textFromJson } from '../../lib/json.ts'
import type { Database, Statement } from '../../storage/database.ts'
import { type Parameters, prepareRead, prepareWrite } from '../../storage/prepare.ts'
import type { QueryBuilder, Schema } from '../../storage/schema.ts'
import {
  type Conversation,
  type ConversationChange,
  type ConversationFilter,
  type ConversationForTurn,
  forTurn,
} from './conversation.ts'

type ConversationRow = Selectable<Schema['conversation']>
type Key = { organizationId: string; id: string }

/** The guard of a change that was made for a conversation as it was read. */
export const CONVERSATION_IS_AS_SEEN = 'conversation_is_as_seen'

const insertConversationRow = prepareWrite((db, p: Parameters<ConversationRow>) =>
  db.insertInto('conversation').values({
    organization_id: p('organization_id'),
    id: p('id'),
    persona_id: p('persona_id'),
    persona_version_id: p('persona_version_id'),
    external_user_id: p('external_user_id'),
    status: p('status'),
    name: p('name'),
    ai_system: p('ai_system'),
    model: p('model'),
    configuration: p('configuration'),
    metadata: p('metadata'),
    dataspace_ids: p('dataspace_ids'),
    is_active: p('is_active'),
    is_started: p('is_started'),
    message_count: p('message_count'),
    archived_count: p('archived_count'),
    system_message_id: p('system_message_id'),
    last_message_id: p('last_message_id'),
    prompt_tokens: 0,
    completion_tokens: 0,
    created_at: p('created_at'),
  }),
)

/** A conversation with the one thing of its persona that is read live. */
export function withPersona(db: QueryBuilder) {
  return db
    .selectFrom('conversation')
    .leftJoin('persona', (join) =>
      join
        .onRef('persona.organization_id', '=', 'conversation.organization_id')
        .onRef('persona.id', '=', 'conversation.persona_id'),
    )
    .selectAll('conversation')
    .select('persona.is_secret')
}

const selectConversation = prepareRead((db, p: Parameters<Key>) =>
  withPersona(db)
    .where('conversation.organization_id', '=', p('organizationId'))
    .where('conversation.id', '=', p('id')),
)

const selectConversationForTurn = prepareRead((db, p: Parameters<Key>) =>
  withPersona(db)
    .leftJoin('message', (join) =>
      join
        .onRef('message.organization_id', '=', 'conversation.organization_id')
        .onRef('message.conversation_id', '=', 'conversation.id')
        .onRef('message.id', '=', 'conversation.system_message_id'),
    )
    .select('message.content as system_text')
    .where('conversation.organization_id', '=', p('organizationId'))
    .where('conversation.id', '=', p('id')),
)

/** Puts another name in the place of the one that was made: one that a user has set since then stays. */
export const replaceMadeName = prepareWrite(
  (db, p: Parameters<Key & { made: string | null; name: string | null }>) =>
    db
      .updateTable('conversation')
      .set((eb) => ({
        name: eb
          .case()
          .when(eb.fn.coalesce('name', eb.val('')), '=', eb.fn.coalesce(eb.val(p('made')), eb.val('')))
          .then(eb.fn.coalesce(eb.val(p('name')), 'name'))
          .else(eb.ref('name'))
          .end(),
      }))
      .where('organization_id', '=', p('organizationId'))
      .where('id', '=', p('id'))
      .where('deleted_at', 'is', null),
  { guard: 'conversation_exists' },
)

/** A statement for one column: changes of different ones at the same time, also by a turn, do not undo each other. */
function setter<C extends 'is_active' | 'metadata' | 'name' | 'status'>(column: C) {
  return prepareWrite(
    (db, p: Parameters<Key & { value: ConversationRow[C] }>) =>
      db
        .updateTable('conversation')
        .set(column, p('value') as never)
        .where('organization_id', '=', p('organizationId'))
        .where('id', '=', p('id'))
        .where('deleted_at', 'is', null),
    { guard: 'conversation_exists' },
  )
}
const setActive = setter('is_active')
const setMetadata = setter('metadata')
const setName = setter('name')
const setStatus = setter('status')

/**
 * Also makes the id after `seen` the newest one, so that whoever remembers the conversation finds that it has changed. The
 * guard fails when the newest is not `seen` any more.
 */
const setConfiguration = prepareWrite(
  (db, p: Parameters<Key & { value: string | null; seen: string | null; next: string | null }>) =>
    db
      .updateTable('conversation')
      .set({ configuration: p('value'), last_message_id: p('next') })
      .where('organization_id', '=', p('organizationId'))
      .where('id', '=', p('id'))
      .where('deleted_at', 'is', null)
      .where('last_message_id', 'is not distinct from', p('seen')),
  { guard: CONVERSATION_IS_AS_SEEN },
)

/** Changes nothing: locks a conversation that is not deleted, for what stands behind it in the batch. */
export const lockConversation = prepareWrite(
  (db, p: Parameters<Key>) =>
    db
      .updateTable('conversation')
      .set((eb) => ({ is_active: eb.ref('is_active') }))
      .where('organization_id', '=', p('organizationId'))
      .where('id', '=', p('id'))
      .where('deleted_at', 'is', null),
  { guard: 'conversation_exists' },
)

export const scoreConversation = prepareWrite(
  (db, p: Parameters<Key & { score: number | null; text: string | null; tags: string | null }>) =>
    db
      .updateTable('conversation')
      .set({ score: p('score'), score_text: p('text'), score_tags: p('tags') })
      .where('organization_id', '=', p('organizationId'))
      .where('id', '=', p('id'))
      .where('deleted_at', 'is', null),
  { guard: 'conversation_exists' },
)

export const deleteConversation = prepareWrite(
  (db, p: Parameters<Key & { at: number }>) =>
    db
      .updateTable('conversation')
      .set({ deleted_at: p('at') })
      .where('organization_id', '=', p('organizationId'))
      .where('id', '=', p('id'))
      .where('deleted_at', 'is', null),
  { guard: 'conversation_exists' },
)

/** The statement that stores a new conversation. */
export function insertConversation(database: Database, conversation: Conversation) {
  return insertConversationRow(database, {
    ...toRow(conversation),
    score: null,
    score_text: null,
    score_tags: null,
    deleted_at: null,
  })
}

/** The statements for what a caller changes of a conversation. */
export function changeConversation(database: Database, key: Key, change: ConversationChange): Statement[] {
  const { isActive, metadata, name, status } = change
  const statements: Statement[] = []
  if (isActive !== undefined) statements.push(setActive(database, { ...key, value: isActive ? 1 : 0 }))
  if (metadata !== undefined) statements.push(setMetadata(database, { ...key, value: textFromJson(metadata) }))
  if (name !== undefined) statements.push(setName(database, { ...key, value: name }))
  if (status !== undefined) statements.push(setStatus(database, { ...key, value: status }))
  return statements
}

/** The statement that changes the configuration of a conversation that stands like this. */
export function changeConfiguration(database: Database, seen: Conversation, change: JsonObject | null): Statement {
  const { organizationId, id, lastMessageId, configuration } = seen
  return setConfiguration(database, {
    organizationId,
    id,
    value: textFromJson(change === null ? null : { ...configuration, ...change }),
    seen: lastMessageId,
    next: lastMessageId === null ? null : successorOf(lastMessageId),
  })
}

export type Found<T> = { conversation: T; isDeleted: boolean }

export async function findConversation(database: Database, key: Key): Promise<Found<Conversation> | undefined> {
  const row = (await selectConversation(database, key))[0]
  return row && { conversation: toConversation(row), isDeleted: row.deleted_at !== null }
}

/** The same with the text of the system message, in one query. */
export async function findConversationForTurn(
  database: Database,
  key: Key,
): Promise<Found<ConversationForTurn> | undefined> {
  const row = (await selectConversationForTurn(database, key))[0]
  if (!row) return undefined
  return { conversation: forTurn(toConversation(row), row.system_text), isDeleted: row.deleted_at !== null }
}

/** Bytes of what may be large in a conversation, as far as they are known without reading it. */
export const bytesOfConversation = sql<number>`(coalesce(octet_length(configuration), 0) + coalesce(octet_length(metadata), 0))`

export type Listed = { id: string; bytes: number }

/** Which conversations a list has: those that are not deleted, newest first, behind the id `after`; and how large they are. */
export async function findListed(
  database: Database,
  organizationId: string,
  filter: ConversationFilter,
  after: string | null,
  limit: number,
): Promise<Listed[]> {
  let query = database.dialect.builder
    .selectFrom('conversation')
    .select(['id', bytesOfConversation.as('bytes')])
    .where('conversation.organization_id', '=', organizationId)
    .where('conversation.deleted_at', 'is', null)
    .orderBy('conversation.id', 'desc')
    .limit(limit)
  const { persona } = filter
  if (persona.kind === 'one') query = query.where('conversation.persona_id', '=', persona.personaId)
  if (persona.kind === 'any') query = query.where('conversation.persona_id', 'is not', null)
  if (persona.kind === 'none') query = query.where('conversation.persona_id', 'is', null)
  if (filter.externalUserId !== null) query = query.where('conversation.external_user_id', '=', filter.externalUserId)
  if (filter.isActive !== null) query = query.where('conversation.is_active', '=', filter.isActive ? 1 : 0)
  if (filter.status !== null) query = query.where('conversation.status', '=', filter.status)
  if (filter.from !== null) query = query.where('conversation.created_at', '>=', filter.from)
  if (filter.to !== null) query = query.where('conversation.created_at', '<=', filter.to)
  for (const { key, value } of filter.metadata) {
    query = query.where(database.dialect.jsonMember('conversation.metadata', key), '=', value)
  }
  if (after !== null) query = query.where('conversation.id', '<', after)
  return database.scan(query.compile(), organizationId)
}

/** Those conversations that are not deleted, newest first. */
export async function findConversations(
  database: Database,
  organizationId: string,
  ids: readonly string[],
): Promise<Conversation[]> {
  const query = withPersona(database.dialect.builder)
    .where('conversation.organization_id', '=', organizationId)
    .where('conversation.id', 'in', ids)
    .where('conversation.deleted_at', 'is', null)
    .orderBy('conversation.id', 'desc')
  return (await database.read(query.compile())).map(toConversation)
}

export function toConversation(row: ConversationRow & { is_secret: 0 | 1 | null }): Conversation {
  return {
    id: row.id,
    organizationId: row.organization_id,
    personaId: row.persona_id,
    personaVersionId: row.persona_version_id,
    externalUserId: row.external_user_id,
    status: row.status,
    name: row.name,
    aiSystem: row.ai_system,
    model: row.model,
    configuration: objectFromText(row.configuration),
    metadata: objectFromText(row.metadata),
    dataspaceIds: arrayFromText<string>(row.dataspace_ids),
    isActive: row.is_active === 1,
    isStarted: row.is_started === 1,
    messageCount: row.message_count,
    archivedCount: row.archived_count,
    systemMessageId: row.system_message_id,
    lastMessageId: row.last_message_id,
    promptTokens: row.prompt_tokens,
    completionTokens: row.completion_tokens,
    createdAt: row.created_at,
    isSecret: row.is_secret === 1,
  }
}

function toRow(conversation: Conversation) {
  const toFlag = (value: boolean): 0 | 1 => (value ? 1 : 0)
  return {
    organization_id: conversation.organizationId,
    id: conversation.id,
    persona_id: conversation.personaId,
    persona_version_id: conversation.personaVersionId,
    external_user_id: conversation.externalUserId,
    status: conversation.status,
    name: conversation.name,
    ai_system: conversation.aiSystem,
    model: conversation.model,
    configuration: textFromJson(conversation.configuration),
    metadata: textFromJson(conversation.metadata),
    dataspace_ids: textFromJson(conversation.dataspaceIds),
    is_active: toFlag(conversation.isActive),
    is_started: toFlag(conversation.isStarted),
    message_count: conversation.messageCount,
    archived_count: conversation.archivedCount,
    system_message_id: conversation.systemMessageId,
    last_message_id: conversation.lastMessageId,
    prompt_tokens: conversation.promptTokens,
    completion_tokens: conversation.completionTokens,
    created_at: conversation.createdAt,
  }
}

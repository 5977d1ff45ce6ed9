import { setImmediate } from 'node:timers/promises'
import type { ConversationKey } from '../../../lib/conversation-key.ts'
import { LAST_UUID } from '../../../lib/ids.ts'
import type { Database } from '../../../storage/database.ts'
import { type Parameters, prepareRead, prepareWrite } from '../../../storage/prepare.ts'
import type { Message } from '../conversation.ts'
import { toMessage } from '../message-queries.ts'

type Range = ConversationKey & { first: string; last: string; count: number }

/** Locks the conversation and counts its messages as archived, if nobody has archived any since `seen`. */
export const countArchived = prepareWrite(
  (db, p: Parameters<ConversationKey & { seen: number; count: number }>) =>
    db
      .updateTable('conversation')
      .set((eb) => ({ archived_count: eb('archived_count', '+', p('count')) }))
      .where('organization_id', '=', p('organizationId'))
      .where('id', '=', p('conversationId'))
      .where('archived_count', '=', p('seen'))
      .where('deleted_at', 'is', null),
  { guard: 'archive_is_as_seen' },
)

/**
 * Deletes the messages from `first` to `last`, if there are `count` of them. Only behind a statement that locks the
 * conversation: then nobody can add one in between.
 */
export const deleteArchived = prepareWrite(
  (db, p: Parameters<Range>) =>
    db
      .deleteFrom('message')
      .where('organization_id', '=', p('organizationId'))
      .where('conversation_id', '=', p('conversationId'))
      .where('id', '>=', p('first'))
      .where('id', '<=', p('last'))
      .where((eb) =>
        eb(
          eb
            .selectFrom('message as counted')
            .select((eb) => eb.fn.countAll<number>().as('messages'))
            .where('counted.organization_id', '=', p('organizationId'))
            .where('counted.conversation_id', '=', p('conversationId'))
            .where('counted.id', '>=', p('first'))
            .where('counted.id', '<=', p('last')),
          '=',
          p('count'),
        ),
      ),
  { guard: 'archived_range_is_as_read' },
)

const selectNewestBefore = prepareRead((db, p: Parameters<ConversationKey & { before: string; offset: number }>) =>
  db
    .selectFrom('message')
    .select('id')
    .where('organization_id', '=', p('organizationId'))
    .where('conversation_id', '=', p('conversationId'))
    .where('role', '!=', 'system')
    .where('id', '<', p('before'))
    .orderBy('id', 'desc')
    .limit(1)
    .offset(p('offset')),
)

/** The message that has `newer` others between it and `before`; without `before`, between it and the end. */
export async function findBoundary(
  database: Database,
  key: ConversationKey,
  before: string | null,
  newer: number,
): Promise<string | undefined> {
  return (await selectNewestBefore(database, { ...key, before: before ?? LAST_UUID, offset: newer }))[0]?.id
}

/** Up to `limit` messages that are not the system's, oldest first, behind `after` and before `before`. */
export async function findOldest(
  database: Database,
  key: ConversationKey,
  range: { after: string | null; before: string | null; limit: number },
): Promise<Message[]> {
  let query = database.dialect.builder
    .selectFrom('message')
    .selectAll()
    .where('organization_id', '=', key.organizationId)
    .where('conversation_id', '=', key.conversationId)
    .where('role', '!=', 'system')
    .orderBy('id')
    .limit(range.limit)
  if (range.after !== null) query = query.where('id', '>', range.after)
  if (range.before !== null) query = query.where('id', '<', range.before)
  return (await database.scan(query.compile(), key.organizationId)).map(toMessage)
}

export type StoredConversation = ConversationKey & {
  /** Messages that are not archived. */
  stored: number
  archivedCount: number
  lastMessageId: string | null
  isDeleted: boolean
}

/** Rows that are read at once: half a millisecond of the thread that streams. */
const SLICE = 500

/**
 * Up to `limit` conversations of all organizations in the order of their keys, behind `after`. They are read in slices,
 * with room for others in between: this is asked once a minute, and a thread for long reads would stay for it (12 MB).
 */
export async function findStored(
  database: Database,
  after: ConversationKey | null,
  limit: number,
): Promise<StoredConversation[]> {
  const found: StoredConversation[] = []
  for (let last = after; found.length < limit; last = found.at(-1) ?? null) {
    const most = Math.min(SLICE, limit - found.length)
    const slice = await findSlice(database, last, most)
    found.push(...slice)
    if (slice.length < most) break
    await setImmediate()
  }
  return found
}

async function findSlice(
  database: Database,
  after: ConversationKey | null,
  limit: number,
): Promise<StoredConversation[]> {
  let query = database.dialect.builder
    .selectFrom('conversation')
    .select(['organization_id', 'id', 'message_count', 'archived_count', 'last_message_id', 'deleted_at'])
    .orderBy('organization_id')
    .orderBy('id')
    .limit(limit)
  if (after !== null) {
    query = query.where((eb) =>
      eb(eb.refTuple('organization_id', 'id'), '>', eb.tuple(after.organizationId, after.conversationId)),
    )
  }
  const rows = await database.read(query.compile())
  return rows.map((row) => ({
    organizationId: row.organization_id,
    conversationId: row.id,
    stored: row.message_count - row.archived_count,
    archivedCount: row.archived_count,
    lastMessageId: row.last_message_id,
    isDeleted: row.deleted_at !== null,
  }))
}

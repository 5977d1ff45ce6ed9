import type { Selectable } from 'kysely'
import type { ConversationKey } from '../../lib/conversation-key.ts'
import type { Database } from '../../storage/database.ts'
import { type Parameters, prepareRead, prepareWrite } from '../../storage/prepare.ts'
import type { Schema } from '../../storage/schema.ts'
import type { Segment } from './segment.ts'

type SegmentRow = Selectable<Schema['archive_segment']>

const insertSegmentRow = prepareWrite((db, p: Parameters<SegmentRow>) =>
  db.insertInto('archive_segment').values({
    organization_id: p('organization_id'),
    conversation_id: p('conversation_id'),
    number: p('number'),
    first_id: p('first_id'),
    last_id: p('last_id'),
    message_count: p('message_count'),
    blob_key: p('blob_key'),
    sha256: p('sha256'),
    byte_count: p('byte_count'),
    created_at: p('created_at'),
  }),
)

/** The statement that records a segment. */
export function insertSegment(database: Database, key: ConversationKey, segment: Segment, at: number) {
  return insertSegmentRow(database, {
    organization_id: key.organizationId,
    conversation_id: key.conversationId,
    number: segment.number,
    first_id: segment.firstId,
    last_id: segment.lastId,
    message_count: segment.messageCount,
    blob_key: segment.blobKey,
    sha256: segment.sha256,
    byte_count: segment.byteCount,
    created_at: at,
  })
}

const selectSegmentWith = prepareRead((db, p: Parameters<ConversationKey & { id: string }>) =>
  db
    .selectFrom('archive_segment')
    .selectAll()
    .where('organization_id', '=', p('organizationId'))
    .where('conversation_id', '=', p('conversationId'))
    .where('first_id', '<=', p('id'))
    .where('last_id', '>=', p('id'))
    .limit(1),
)

const selectSegmentBefore = prepareRead((db, p: Parameters<ConversationKey & { id: string }>) =>
  db
    .selectFrom('archive_segment')
    .selectAll()
    .where('organization_id', '=', p('organizationId'))
    .where('conversation_id', '=', p('conversationId'))
    .where('first_id', '<', p('id'))
    .orderBy('number', 'desc')
    .limit(1),
)

const selectSegmentAfter = prepareRead((db, p: Parameters<ConversationKey & { id: string }>) =>
  db
    .selectFrom('archive_segment')
    .selectAll()
    .where('organization_id', '=', p('organizationId'))
    .where('conversation_id', '=', p('conversationId'))
    .where('last_id', '>', p('id'))
    .orderBy('number')
    .limit(1),
)

const selectLastNumber = prepareRead((db, p: Parameters<ConversationKey>) =>
  db
    .selectFrom('archive_segment')
    .select('number')
    .where('organization_id', '=', p('organizationId'))
    .where('conversation_id', '=', p('conversationId'))
    .orderBy('number', 'desc')
    .limit(1),
)

/** The segment that may have the message `id`. */
export async function findSegmentWith(
  database: Database,
  key: ConversationKey,
  id: string,
): Promise<Segment | undefined> {
  return (await selectSegmentWith(database, { ...key, id })).map(toSegment)[0]
}

/** The last segment that begins before the message `id`. */
export async function findSegmentBefore(
  database: Database,
  key: ConversationKey,
  id: string,
): Promise<Segment | undefined> {
  return (await selectSegmentBefore(database, { ...key, id })).map(toSegment)[0]
}

/** The first segment that ends behind the message `id`. */
export async function findSegmentAfter(
  database: Database,
  key: ConversationKey,
  id: string,
): Promise<Segment | undefined> {
  return (await selectSegmentAfter(database, { ...key, id })).map(toSegment)[0]
}

/** The number of the newest segment, 0 when there is none. */
export async function findLastNumber(database: Database, key: ConversationKey): Promise<number> {
  return (await selectLastNumber(database, key))[0]?.number ?? 0
}

function toSegment(row: SegmentRow): Segment {
  return {
    number: row.number,
    firstId: row.first_id,
    lastId: row.last_id,
    messageCount: row.message_count,
    blobKey: row.blob_key,
    sha256: row.sha256,
    byteCount: row.byte_count,
  }
}

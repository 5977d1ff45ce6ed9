import type { Selectable } from 'kysely'
import type { ConversationKey } from '../../lib/conversation-key.ts'
import type { Database } from '../../storage/database.ts'
import { asColumn, type Parameters, prepareRead, prepareWrite } from '../../storage/prepare.ts'
import type { Schema } from '../../storage/schema.ts'
import type { Attachment } from './attachment.ts'

type AttachmentRow = Selectable<Schema['attachment']>
export type StoredAttachment = Attachment & { blobKey: string; sha256: string }
export type UnusedAttachment = ConversationKey & { id: string; blobKey: string }

/** The guard of {@link useAttachment}. */
export const ATTACHMENT_IS_THERE = 'attachment_is_there'

const insertAttachmentRow = prepareWrite((db, p: Parameters<AttachmentRow>) =>
  db.insertInto('attachment').values({
    organization_id: p('organization_id'),
    conversation_id: p('conversation_id'),
    id: p('id'),
    message_id: p('message_id'),
    name: p('name'),
    media_type: p('media_type'),
    byte_count: p('byte_count'),
    sha256: p('sha256'),
    tokens: p('tokens'),
    blob_key: p('blob_key'),
    created_at: p('created_at'),
  }),
)

/** The statement that records a file; `messageId` is null for one that stands with no message yet. */
export function insertAttachment(
  database: Database,
  key: ConversationKey,
  stored: StoredAttachment,
  messageId: string | null,
  at: number,
) {
  return insertAttachmentRow(database, {
    organization_id: key.organizationId,
    conversation_id: key.conversationId,
    id: stored.id,
    message_id: messageId,
    name: stored.name,
    media_type: stored.mediaType,
    byte_count: stored.byteCount,
    sha256: stored.sha256,
    tokens: stored.tokens,
    blob_key: stored.blobKey,
    created_at: at,
  })
}

/** Says that a file stands with a message. Guarded: it fails when the file has been swept meanwhile. */
export const useAttachment = prepareWrite(
  (db, p: Parameters<ConversationKey & { id: string; messageId: string }>, { columnTypes }) =>
    db
      .updateTable('attachment')
      .set((eb) => ({ message_id: eb.fn.coalesce('message_id', asColumn(p('messageId'), columnTypes.id)) }))
      .where('organization_id', '=', p('organizationId'))
      .where('conversation_id', '=', p('conversationId'))
      .where('id', '=', p('id')),
  { guard: ATTACHMENT_IS_THERE },
)

const selectAttachment = prepareRead((db, p: Parameters<ConversationKey & { id: string }>) =>
  db
    .selectFrom('attachment')
    .selectAll()
    .where('organization_id', '=', p('organizationId'))
    .where('conversation_id', '=', p('conversationId'))
    .where('id', '=', p('id')),
)

export async function findAttachment(
  database: Database,
  key: ConversationKey,
  id: string,
): Promise<StoredAttachment | undefined> {
  const row = (await selectAttachment(database, { ...key, id }))[0]
  return (
    row && {
      id: row.id,
      name: row.name,
      mediaType: row.media_type,
      byteCount: row.byte_count,
      tokens: row.tokens,
      blobKey: row.blob_key,
      sha256: row.sha256,
    }
  )
}

/** Files of all organizations that stand with no message and were uploaded before `before`. */
export const selectUnused = prepareRead((db, p: Parameters<{ before: number; limit: number }>) =>
  db
    .selectFrom('attachment')
    .select(['organization_id as organizationId', 'conversation_id as conversationId', 'id', 'blob_key as blobKey'])
    .where('message_id', 'is', null)
    .where('created_at', '<', p('before'))
    .orderBy('created_at')
    .limit(p('limit')),
)

/** Deletes a file that still stands with no message. Guarded: it fails when one uses it now. */
export const deleteUnused = prepareWrite(
  (db, p: Parameters<ConversationKey & { id: string }>) =>
    db
      .deleteFrom('attachment')
      .where('organization_id', '=', p('organizationId'))
      .where('conversation_id', '=', p('conversationId'))
      .where('id', '=', p('id'))
      .where('message_id', 'is', null),
  { guard: 'attachment_is_unused' },
)

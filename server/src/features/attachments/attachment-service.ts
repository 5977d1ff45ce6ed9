import { createHash } from 'node:crypto'
import { BlobError, type BlobStore } from '../../blobs/blob-store.ts'
import { AppError, badField } from '../../errors.ts'
import type { Clock } from '../../lib/clock.ts'
import type { ConversationKey } from '../../lib/conversation-key.ts'
import type { IdSource } from '../../lib/ids.ts'
import { describeDiskObstacle } from '../../lib/process/disk.ts'
import { type Database, type Statement, WriteConflict } from '../../storage/database.ts'
import { BLOB_IS_UNCLAIMED, createBlobClaims } from '../unclaimed-blobs/blob-claims.ts'
import { discardBlobs } from '../unclaimed-blobs/discarded-blobs.ts'
import type { Attachment, GivenAttachment, NewFile } from './attachment.ts'
import {
  ATTACHMENT_IS_THERE,
  deleteUnused,
  findAttachment,
  insertAttachment,
  type StoredAttachment,
  selectUnused,
  useAttachment,
} from './attachment-queries.ts'
import { checkFile } from './checks/attachment-checks.ts'
import { estimateFileTokens } from './checks/file-tokens.ts'

/** A file that was looked at; `bytes` is null for one that is stored already. */
export type Described = { attachment: Attachment; bytes: Uint8Array | null }

/** Files that are stored, and become part of a message with its batch. */
export type Attached = {
  attachments: Attachment[]
  /** Guarded, to stand behind what locks the conversation. */
  statements(messageId: string): Statement[]
  /** Deletes what was stored for nothing, if this error says that nothing was written; gives back what to throw. */
  giveUp(error: unknown): Promise<unknown>
}
export type AttachmentService = ReturnType<typeof createAttachmentService>

/** Milliseconds for which a file waits for its message. */
const UNUSED_MS = 24 * 3_600_000
const SWEPT_AT_ONCE = 100

/** Where the files of a conversation are. */
export function prefixOf({ organizationId, conversationId }: ConversationKey): string {
  return `attachments/${organizationId}/${conversationId}/`
}

/**
 * Files of users: a blob each, and a row that says whose it is. The blob is written first; the row comes with the message,
 * or for an upload by itself, and is swept after a day if no message has come.
 */
export function createAttachmentService(deps: {
  database: Database
  blobs: Pick<BlobStore, 'put' | 'get' | 'delete'>
  ids: IdSource
  clock: Clock
  /** Largest file, in bytes. */
  limit: number
}) {
  const { database, blobs, ids, clock, limit } = deps
  const claims = createBlobClaims(deps)

  async function describeFile({ name, mediaType, bytes }: NewFile): Promise<Attachment> {
    const tokens = await estimateFileTokens(mediaType, bytes)
    return { id: ids.next(), name, mediaType, byteCount: bytes.length, tokens }
  }

  async function describeOne(key: ConversationKey, given: GivenAttachment, at: string): Promise<Described> {
    if (!('attachmentId' in given)) {
      await checkFile(given, at, limit)
      return { attachment: await describeFile(given), bytes: given.bytes }
    }
    const found = await findAttachment(database, key, given.attachmentId)
    if (!found) throw missing(`${at}.attachmentId`)
    const { blobKey: _blobKey, sha256: _sha256, ...attachment } = found
    return { attachment, bytes: null }
  }

  /** Writes the blob of a file that nothing refers to yet. */
  async function putBlob(key: ConversationKey, attachment: Attachment, bytes: Uint8Array): Promise<StoredAttachment> {
    const blobKey = prefixOf(key) + attachment.id
    const { organizationId } = key
    try {
      await claims.put({ organizationId, blobKey }, bytes, { contentType: attachment.mediaType })
    } catch (error) {
      if (!(error instanceof BlobError)) throw error
      const { obstacle } = error
      const why =
        obstacle === null ? 'files cannot be stored at the moment' : describeDiskObstacle(obstacle, 'the files')
      throw unavailable(why, error)
    }
    return { ...attachment, blobKey, sha256: sha256Of(bytes) }
  }

  function record(key: ConversationKey, stored: StoredAttachment, messageId: string | null): Statement[] {
    const { organizationId } = key
    return [
      insertAttachment(database, key, stored, messageId, clock()),
      claims.claim({ organizationId, blobKey: stored.blobKey }),
    ]
  }

  async function drop(key: ConversationKey, stored: readonly StoredAttachment[]): Promise<void> {
    const { organizationId } = key
    // What cannot be deleted now is swept later.
    for (const { blobKey } of stored) await claims.drop({ organizationId, blobKey }).catch(() => {})
  }

  return {
    /** Largest file, in bytes. */
    limit,

    /** Looks at the files of a message. Throws 400 naming the field, 413, and 422 for an id that is none. */
    async describe(key: ConversationKey, given: readonly GivenAttachment[]): Promise<Described[]> {
      const named = given.map((one) => ('attachmentId' in one ? one.attachmentId : null))
      const twice = named.findIndex((id, i) => id !== null && named.indexOf(id) < i)
      if (twice >= 0) throw badField(`attachments.${twice}.attachmentId`, 'comes twice')
      return Promise.all(given.map((one, i) => describeOne(key, one, `attachments.${i}`)))
    },

    /** Stores the blobs of those that are new. Throws 503. */
    async store(key: ConversationKey, described: readonly Described[]): Promise<Attached> {
      const stored: StoredAttachment[] = []
      try {
        for (const { attachment, bytes } of described) {
          if (bytes !== null) stored.push(await putBlob(key, attachment, bytes))
        }
      } catch (error) {
        await drop(key, stored)
        throw error
      }
      const known = described.filter(({ bytes }) => bytes === null).map(({ attachment }) => attachment.id)
      return {
        attachments: described.map(({ attachment }) => attachment),
        statements: (messageId) => [
          ...stored.flatMap((one) => record(key, one, messageId)),
          ...known.map((id) => useAttachment(database, { ...key, id, messageId })),
        ],
        async giveUp(error) {
          // After any other error it may have been written after all.
          if (error instanceof AppError || error instanceof WriteConflict) await drop(key, stored)
          if (!(error instanceof WriteConflict)) return error
          if (error.constraint === ATTACHMENT_IS_THERE) return missing('attachments')
          return error.constraint === BLOB_IS_UNCLAIMED ? unavailable('storing the files took too long', error) : error
        },
      }
    },

    /** Stores a file for a message that is to come; `lock` locks the conversation. Throws 400, 413, 415 and 503. */
    async upload(key: ConversationKey, file: NewFile, lock: Statement): Promise<Attachment> {
      await checkFile(file, '', limit)
      const attachment = await describeFile(file)
      const stored = await putBlob(key, attachment, file.bytes)
      try {
        await database.write([lock, ...record(key, stored, null)])
      } catch (error) {
        if (!(error instanceof WriteConflict)) throw error
        await drop(key, [stored])
        throw new AppError('gone', 'the conversation has been deleted')
      }
      return attachment
    },

    /** A file with its bytes. Throws 404, and 503 when it cannot be read, or is not what was written. */
    async read(key: ConversationKey, id: string): Promise<{ attachment: Attachment; bytes: Uint8Array }> {
      const found = await findAttachment(database, key, id)
      if (!found) throw new AppError('not_found', 'the conversation has no such attachment')
      const { blobKey, sha256, ...attachment } = found
      try {
        const bytes = await blobs.get(blobKey)
        if (bytes === null) throw new BlobError(`the blob ${blobKey} is missing`)
        if (sha256Of(bytes) !== sha256) throw new BlobError(`the blob ${blobKey} is not what was written`)
        return { attachment, bytes }
      } catch (error) {
        throw error instanceof BlobError ? unavailable('the file cannot be read at the moment', error) : error
      }
    },

    /** The statements that give up all files of a conversation. The blobs go soon after. */
    discard: (key: ConversationKey): Statement[] => discardBlobs(database, 'attachment', { ...key, now: clock() }),

    /** Gives up files that no message has come for within a day; says how many. The blobs go soon after. */
    async sweepUnused(): Promise<number> {
      for (let swept = 0; ; ) {
        const unused = await selectUnused(database, { before: clock() - UNUSED_MS, limit: SWEPT_AT_ONCE })
        for (const { blobKey, ...key } of unused) {
          const { organizationId } = key
          const batch = [deleteUnused(database, key), claims.release({ organizationId, blobKey })]
          await database.write(batch).catch((error: unknown) => {
            // A message uses it after all.
            if (!(error instanceof WriteConflict)) throw error
          })
        }
        swept += unused.length
        if (unused.length < SWEPT_AT_ONCE) return swept
      }
    },
  }
}

function missing(field: string): AppError {
  return new AppError('unprocessable_entity', 'the conversation has no such attachment', {
    details: [{ field, issue: 'is not the id of an attachment of this conversation' }],
  })
}

function unavailable(message: string, cause: unknown): AppError {
  return new AppError('unavailable', message, { cause, retryAfterMs: 5_000 })
}

function sha256Of(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

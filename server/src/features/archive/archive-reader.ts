import { BlobError, type BlobStore } from '../../blobs/blob-store.ts'
import { AppError } from '../../errors.ts'
import { PIECE_BYTES } from '../../http/answers/pieces.ts'
import type { Clock } from '../../lib/clock.ts'
import type { ConversationKey } from '../../lib/conversation-key.ts'
import { NIL_UUID } from '../../lib/ids.ts'
import { cutBySize } from '../../lib/text/cut-by-size.ts'
import type { Database } from '../../storage/database.ts'
import type { Message } from '../conversations/conversation.ts'
import type { ArchivedMessages } from '../conversations/for-archive/archived-messages.ts'
import { createConversationArchiving } from '../conversations/for-archive/conversation-archiving.ts'
import type { OrganizationService } from '../organizations/organization-service.ts'
import { discardBlobs } from '../unclaimed-blobs/discarded-blobs.ts'
import { findSegmentAfter, findSegmentBefore, findSegmentWith } from './archive-queries.ts'
import { createSegmentCache } from './segment-cache.ts'
import { LINK_MS, transcriptPath } from './transcript-link.ts'

/** Reads what has been archived. A segment that cannot be read is a {@link BlobError}, and to a caller a 503. */
export function createArchiveReader(deps: {
  database: Database
  blobs: Pick<BlobStore, 'get'>
  clock: Clock
  organizations: Pick<OrganizationService, 'tokenSecret'>
  log: { warn(fields: object, message: string): void }
}): ArchivedMessages {
  const { database, clock, organizations, log } = deps
  const segments = createSegmentCache(deps)
  const conversations = createConversationArchiving({ database })

  async function* transcript(key: ConversationKey): AsyncGenerator<Message[]> {
    const wasThere = (await conversations.archivedCount(key)) !== undefined
    const system = await conversations.systemMessage(key)
    let opening = system ? [system] : []
    for (let last = NIL_UUID; ; ) {
      let segment = await findSegmentAfter(database, key, last)
      const rows = segment ? null : await conversations.pieceAfter(key, last)
      // Again: what was moved before the rows were read shows now, and what is moved later was among them.
      segment ??= await findSegmentAfter(database, key, last)
      const messages = segment
        ? (await segments.readOnce(segment)).filter(({ id }) => id > last)
        : (rows?.messages ?? [])
      last = messages.at(-1)?.id ?? last
      // Not by itself: the first piece is to tell whether the archive can be read. And where it is a row, once.
      const fresh = [...opening, ...messages.filter(({ id }) => id !== system?.id)]
      opening = []
      yield* cutBySize(fresh, PIECE_BYTES, ({ content }) => content.length)
      if (!segment && rows?.isLast) break
    }
    // Deleting a conversation takes its segments away, so until here some may have been passed over.
    if (wasThere && (await conversations.archivedCount(key)) === undefined) {
      throw new AppError('gone', 'the conversation has been deleted')
    }
  }

  return {
    async find(key, id) {
      const segment = await findSegmentWith(database, key, id)
      return segment && (await segments.read(segment)).find((message) => message.id === id)
    },

    async olderThan(key, before, limit) {
      const older: Message[] = []
      try {
        for (let from = before; older.length < limit; ) {
          const segment = await findSegmentBefore(database, key, from)
          if (!segment) break
          const messages = (await segments.read(segment)).filter(({ id }) => id < from)
          older.push(...messages.toReversed())
          from = segment.firstId
        }
      } catch (error) {
        if (!(error instanceof BlobError)) throw error
        const { conversationId } = key
        log.warn({ err: error, conversationId }, 'archived messages cannot be read: the turn goes on without them')
      }
      return older.slice(0, limit)
    },

    transcript,

    async linkTo(key) {
      const secret = await organizations.tokenSecret(key.organizationId)
      return (keyId) => transcriptPath(secret, { ...key, keyId }, clock() + LINK_MS)
    },

    discard: (key) => discardBlobs(database, 'archive_segment', { ...key, now: clock() }),
  }
}

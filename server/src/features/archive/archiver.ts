import type { BlobStore } from '../../blobs/blob-store.ts'
import type { Clock } from '../../lib/clock.ts'
import type { ConversationKey } from '../../lib/conversation-key.ts'
import { firstUuidOf, type IdSource } from '../../lib/ids.ts'
import { type Database, WriteConflict } from '../../storage/database.ts'
import type { Message } from '../conversations/conversation.ts'
import { NEWEST_MESSAGES } from '../conversations/for-archive/archived-messages.ts'
import {
  createConversationArchiving,
  type StoredConversation,
} from '../conversations/for-archive/conversation-archiving.ts'
import type { OpenTurns } from '../turns/run/open-turns.ts'
import { createBlobClaims } from '../unclaimed-blobs/blob-claims.ts'
import { type BlobSweeper, createBlobSweeper } from '../unclaimed-blobs/blob-sweeper.ts'
import { findLastNumber, insertSegment } from './archive-queries.ts'
import { decodeSegment, encodeSegment, newBlobKey, SEGMENT_TYPE } from './segment.ts'

export type ArchiveSettings = Readonly<{
  /** A conversation with more messages that are not archived is archived. */
  messages: number
  /** So is one that nothing has been said in for so many days; 0 for never. */
  afterDays: number
}>

/** What a round has done. `isComplete` says that it has come to the last conversation. */
export type Round = { segments: number; messages: number; failures: number; sweptBlobs: number; isComplete: boolean }
export type Archiver = ReturnType<typeof createArchiver>

/** How many messages, and about how much text, go into one segment. */
const SEGMENT_MESSAGES = 1_000
const SEGMENT_BYTES = 4 * 1_024 * 1_024

/** How many conversations a round looks at, and how many segments it writes, so that none takes long. */
const LOOKED_AT = 5_000
const SEGMENTS_A_ROUND = 50

const DAY_MS = 86_400_000

/** What always stays: the newest messages, and the last exchange that a turn may still replace. */
const STAYS = NEWEST_MESSAGES + 1

/**
 * Moves older messages of long and of cold conversations to blobs: the blob is written, read back and compared, and then
 * one batch deletes exactly the messages that are in it and records the segment. A crash in between leaves a blob that
 * nothing refers to, which is swept.
 */
export function createArchiver(deps: {
  database: Database
  blobs: BlobStore
  ids: IdSource
  clock: Clock
  openTurns: OpenTurns
  settings: ArchiveSettings
  log: { warn(fields: object, message: string): void }
}) {
  const { database, blobs, ids, clock, openTurns, settings, log } = deps
  const conversations = createConversationArchiving({ database })
  const sweeper: BlobSweeper = createBlobSweeper(deps)
  const claims = createBlobClaims(deps)
  /** The last conversation that a round has looked at; null to begin with the first. */
  let position: ConversationKey | null = null

  function isDue({ stored, lastMessageId, isDeleted }: StoredConversation, coldBefore: string | null): boolean {
    if (isDeleted || lastMessageId === null || stored <= STAYS) return false
    return stored > settings.messages || (coldBefore !== null && lastMessageId < coldBefore)
  }

  /** Puts the messages into a blob and makes sure that they are there. */
  async function write(key: ConversationKey, messages: readonly Message[], number: number) {
    const blobKey = newBlobKey(key, number, ids.next())
    const { bytes, sha256 } = await encodeSegment(messages)
    await claims.put({ organizationId: key.organizationId, blobKey }, bytes, { contentType: SEGMENT_TYPE })
    const segment = {
      number,
      blobKey,
      sha256,
      byteCount: bytes.byteLength,
      messageCount: messages.length,
      firstId: messages[0]?.id ?? '',
      lastId: messages.at(-1)?.id ?? '',
    }
    await decodeSegment(await blobs.get(blobKey), segment)
    return segment
  }

  /** Moves the oldest messages of a conversation that may go; says how many those were. */
  async function moveSegment(key: ConversationKey): Promise<number> {
    const seen = await conversations.archivedCount(key)
    if (seen === undefined) return 0
    const openMessageId = await openTurns.oldestMessage(key)
    const limits = { most: SEGMENT_MESSAGES, mostBytes: SEGMENT_BYTES }
    const messages = await conversations.movable(key, openMessageId, limits)
    if (messages.length === 0) return 0
    const segment = await write(key, messages, (await findLastNumber(database, key)) + 1)
    const claim = { organizationId: key.organizationId, blobKey: segment.blobKey }
    try {
      await database.write([
        // The first of them locks the conversation, as in the batches of turns.
        ...conversations.moveOut(key, messages, seen),
        insertSegment(database, key, segment, clock()),
        claims.claim(claim),
      ])
      return messages.length
    } catch (error) {
      if (!(error instanceof WriteConflict)) throw error
      // Somebody else has archived, edited or deleted it in the meantime, and nothing refers to the blob.
      await claims.drop(claim)
      return 0
    }
  }

  return {
    /** Archives one conversation as far as it goes, whether or not it is due; says how many messages that were. */
    async archive(key: ConversationKey): Promise<number> {
      for (let moved = 0; ; ) {
        const more = await moveSegment(key)
        moved += more
        if (more === 0) return moved
      }
    },

    /**
     * Looks at the next conversations and archives those that are due. What fails for one is logged, and tried again
     * when its turn comes round. Throws when not even looking is possible. Ends early once `isStopping` says so.
     */
    async round(isStopping: () => boolean = () => false): Promise<Round> {
      const done: Round = { segments: 0, messages: 0, failures: 0, sweptBlobs: 0, isComplete: false }
      try {
        done.sweptBlobs = await sweeper.sweep()
      } catch (error) {
        done.failures++
        log.warn({ err: error }, 'blobs that nobody needs could not be deleted; it will be tried again')
      }
      const coldBefore = settings.afterDays > 0 ? firstUuidOf(clock() - settings.afterDays * DAY_MS) : null
      const page = await conversations.page(position, LOOKED_AT)
      for (const conversation of page) {
        const { organizationId, conversationId } = conversation
        const key = { organizationId, conversationId }
        try {
          while (isDue(conversation, coldBefore) && done.segments < SEGMENTS_A_ROUND && !isStopping()) {
            const moved = await moveSegment(key)
            if (moved === 0) break
            done.segments++
            done.messages += moved
          }
        } catch (error) {
          done.failures++
          log.warn({ err: error, conversationId }, 'a conversation could not be archived; it will be tried again')
        }
        // The last one may have more to move: the next round begins with it.
        if (done.segments >= SEGMENTS_A_ROUND || isStopping()) return done
        position = key
      }
      done.isComplete = page.length < LOOKED_AT
      if (done.isComplete) position = null
      return done
    },
  }
}

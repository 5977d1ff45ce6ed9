import type { ConversationKey } from '../../../lib/conversation-key.ts'
import type { Statement } from '../../../storage/database.ts'
import type { Message } from '../conversation.ts'

/** How many of the newest messages of a conversation always stay where they can be read at once. */
export const NEWEST_MESSAGES = 100

/** A link for who has asked with the API key with this id: it is good for as long as that key is. */
export type LinkFor = (keyId: string) => string

/**
 * What conversations need of the archive, which stands above them. It throws 503 where an answer would need messages
 * that cannot be read at the moment.
 */
export type ArchivedMessages = {
  /** The message with this id, if it is in the archive. */
  find(key: ConversationKey, id: string): Promise<Message | undefined>
  /**
   * Up to `limit` archived messages older than `before`, newest first. Fewer also where the archive cannot be read:
   * a turn goes on with what it has.
   */
  olderThan(key: ConversationKey, before: string, limit: number): Promise<Message[]>
  /** Every message of a conversation in order, archived or not, in pieces. */
  transcript(key: ConversationKey): AsyncIterable<Message[]>
  /** What makes the path and query of a signed link to the whole transcript. */
  linkTo(key: ConversationKey): Promise<LinkFor>
  /** The statements that give up what is archived of a conversation. The blobs go soon after. */
  discard(key: ConversationKey): Statement[]
}

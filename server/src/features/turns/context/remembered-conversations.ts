import type { ConversationKey } from '../../../lib/conversation-key.ts'
import type { ConversationForTurn, Message, Standing } from '../../conversations/conversation.ts'
import type { ReadNewest, Window } from './window.ts'

/** UTF-16 units of all talks together: some 10 MB of memory for Latin texts, which is 500 talks of 20 messages. */
const MOST_UNITS = 4 * 1_024 * 1_024
/** What a message takes beside its text, its calls and its files, in the same unit. */
const UNITS_PER_MESSAGE = 256
const UNITS_PER_TALK = 2_048
/** Milliseconds after which a talk that nobody goes on with is forgotten. */
const KEPT_MS = 600_000

export type Position = Omit<Standing, 'name'>
type Talk = Window & { conversation: ConversationForTurn; units: number; at: number }

export type RememberedConversations = ReturnType<typeof createRememberedConversations>

/**
 * Remembers conversations as their last turns have left them, with what the models were sent, so that the next turn of one
 * need not read it. All of it may be out of date: what is remembered counts as long as the conversation stands where it stood
 * then, and it is the batch that accepts the next turn that finds that out.
 */
export function createRememberedConversations({
  now,
  mostUnits = MOST_UNITS,
}: {
  now: () => number
  mostUnits?: number
}) {
  /** Those that were used last stand last. */
  const talks = new Map<string, Talk>()
  let units = 0
  const jsonLength = createJsonLengths()

  function unitsOf({ systemText, configuration }: ConversationForTurn, messages: readonly Message[]): number {
    let sum = UNITS_PER_TALK + (systemText?.length ?? 0) + jsonLength(configuration)
    for (const { content, toolCalls, attachments } of messages) {
      sum += UNITS_PER_MESSAGE + content.length + jsonLength(toolCalls) + jsonLength(attachments)
    }
    return sum
  }

  function forget(conversationId: string): void {
    units -= talks.get(conversationId)?.units ?? 0
    talks.delete(conversationId)
  }

  /** Makes room, and forgets what nobody has gone on with. */
  function forgetOldest(): void {
    for (const [id, { at }] of talks) {
      if (units <= mostUnits && now() - at < KEPT_MS) return
      forget(id)
    }
  }

  return {
    forget,
    forgetOldest,

    /** Keeps what a turn has left: the conversation as it stands now, and the window that was sent with the reply behind it. */
    remember(conversation: ConversationForTurn, window: Window): void {
      forget(conversation.id)
      const own = unitsOf(conversation, window.messages)
      units += own
      talks.set(conversation.id, { ...window, conversation, units: own, at: now() })
      forgetOldest()
    },

    /** A conversation as it was left here, which others may have changed. */
    find({ organizationId, conversationId }: ConversationKey): ConversationForTurn | undefined {
      const conversation = talks.get(conversationId)?.conversation
      return conversation?.organizationId === organizationId ? conversation : undefined
    },

    /**
     * Reads the talk of a conversation that stands like this from memory, as far as it is there, and the rest by `read`.
     * `newest` is the message that has come since.
     */
    readFrom(conversation: ConversationForTurn, standing: Position, newest: Message, read: ReadNewest): ReadNewest {
      const talk = isBeginning(conversation, standing) ? NOTHING_SAID : talks.get(conversation.id)
      if (!talk || (talk !== NOTHING_SAID && !isSame((talk as Talk).conversation, conversation, standing))) return read
      const known: Message[] = [...talk.messages, newest]
      const readBoth: ReadNewest = async (before, limit) => {
        const end = known.findLastIndex(({ id }) => id <= before) + 1
        const page = known.slice(Math.max(0, end - limit), end).reverse()
        if (page.length === limit || talk.isWhole) return page
        const oldest = page.at(-1)
        // Reading begins with the message that it is given.
        const older = await read(oldest?.id ?? before, limit - page.length + 1)
        return [...page, ...older.filter(({ id }) => id !== oldest?.id)].slice(0, limit)
      }
      // It was all that the window had room for, and most likely is again.
      if (talk.isWhole) return readBoth
      return Object.assign(readBoth, { atHand: known.length }, talk.behind !== undefined && { behind: talk.behind })
    },

    /** UTF-16 units that are held. */
    size: (): number => units,
  }
}

/** Says how long values are as JSON, which is about what they take in memory. Each is looked at once. */
function createJsonLengths(): (value: object | null | undefined) => number {
  const known = new WeakMap<object, number>()
  return (value) => {
    if (value === null || value === undefined) return 0
    const length = known.get(value) ?? JSON.stringify(value).length
    known.set(value, length)
    return length
  }
}

const NOTHING_SAID: Window = { messages: [], isWhole: true }

/** Whether there is no message yet but that of the system. */
function isBeginning({ systemMessageId }: ConversationForTurn, { messageCount }: Position): boolean {
  return messageCount === (systemMessageId === null ? 0 : 1)
}

function isSame(remembered: ConversationForTurn, { organizationId }: ConversationForTurn, standing: Position): boolean {
  return (
    remembered.organizationId === organizationId &&
    remembered.lastMessageId === standing.lastMessageId &&
    remembered.messageCount === standing.messageCount
  )
}

import type { Message } from '../conversations/conversation.ts'
import type { ReadNewest, Window } from './context.ts'
import type { ConversationKey } from './run.ts'

/** UTF-16 units of all talks together: some 16 MB of memory for Latin texts. */
const MOST_UNITS = 16 * 1_024 * 1_024
/** What a message takes beside its text, in the same unit. */
const UNITS_PER_MESSAGE = 256
/** Milliseconds after which a talk that nobody goes on with is forgotten. */
const KEPT_MS = 600_000

/** How far a conversation has come: every change of its messages changes one of them, whichever server makes it. */
export type Standing = { lastMessageId: string | null; messageCount: number }
type Talk = Window & Standing & { organizationId: string; units: number; at: number }

export type RecentTalk = ReturnType<typeof createRecentTalk>

/**
 * Remembers what the models of the last turns were sent, so that the next turn of a conversation reads one row instead of
 * the whole window. A talk counts as long as the conversation stands where it stood when the turn had ended; the batch that
 * accepts the next one makes sure that it has not moved since it was read.
 */
export function createRecentTalk({ now, mostUnits = MOST_UNITS }: { now: () => number; mostUnits?: number }) {
  /** Those that were used last stand last. */
  const talks = new Map<string, Talk>()
  let units = 0

  function forget(conversationId: string): void {
    units -= talks.get(conversationId)?.units ?? 0
    talks.delete(conversationId)
  }

  function forgetOldest(): void {
    for (const [id, { at }] of talks) {
      if (units <= mostUnits && now() - at < KEPT_MS) return
      forget(id)
    }
  }

  return {
    forget,

    /** Keeps what a turn has left: the window that was sent, with the reply behind it. */
    keep({ organizationId, conversationId }: ConversationKey, standing: Standing, window: Window): void {
      forget(conversationId)
      const own = window.messages.reduce((sum, { content }) => sum + content.length + UNITS_PER_MESSAGE, 0)
      units += own
      talks.set(conversationId, { ...window, ...standing, organizationId, units: own, at: now() })
      forgetOldest()
    },

    /**
     * Reads the talk of a conversation that stands like this from memory, as far as it is there, and the rest by `read`.
     * `newest` is the message that has come since.
     */
    readFrom(key: ConversationKey, standing: Standing, newest: Message, read: ReadNewest): ReadNewest {
      const talk = talks.get(key.conversationId)
      if (talk?.organizationId !== key.organizationId || !isSame(talk, standing)) return read
      const known: Message[] = [...talk.messages, newest]
      return async (before, limit) => {
        const end = known.findLastIndex(({ id }) => id <= before) + 1
        const page = known.slice(Math.max(0, end - limit), end).reverse()
        if (page.length === limit || talk.isWhole) return page
        const oldest = page.at(-1)
        // Reading begins with the message that it is given.
        const older = await read(oldest?.id ?? before, limit - page.length + 1)
        return [...page, ...older.filter(({ id }) => id !== oldest?.id)].slice(0, limit)
      }
    },

    /** UTF-16 units that are held. */
    size: (): number => units,
  }
}

function isSame(a: Standing, b: Standing): boolean {
  return a.lastMessageId === b.lastMessageId && a.messageCount === b.messageCount
}

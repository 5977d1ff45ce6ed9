import type { Database } from '../../../storage/database.ts'
import type { ConversationTurns } from '../../conversations/for-turns/conversation-turns.ts'
import { citationsOf, type RunEnd, type RunKey, reasoningTokensOf } from '../run/run.ts'
import { type FoundRun, findRun } from '../run/run-queries.ts'
import { isEnded } from '../run/run-state.ts'
import { decodeEvents, hasToolEvents } from './event-codec.ts'
import { findEvents } from './event-queries.ts'
import type { ReplyEvent } from './reply-event.ts'
import type { ReplyView } from './reply-log.ts'

/** Milliseconds between looks for what another node has committed. */
const POLL_MS = 100

/**
 * Reads the replies of runs that this process does not execute: from the message when they have ended, and from what
 * the executing node commits while they have not.
 */
export function createReplyReader(deps: {
  database: Database
  conversations: Pick<ConversationTurns, 'findMessageOrReplaced'>
}) {
  const { database, conversations } = deps
  /** The runs that somebody watches: all who do share one look. */
  const followed = new Map<string, ReplyView>()

  async function readEnded(key: RunKey, found: FoundRun): Promise<{ events: ReplyEvent[]; end: RunEnd }> {
    const { status, usage, error, finishReason, attempts } = found.run
    const told = { ...reasoningTokensOf(attempts), ...citationsOf(attempts) }
    const end = { status, finishReason: finishReason ?? 'interrupted', usage, error, ...told }
    return { events: await readEvents(key, found), end }
  }

  async function readEvents(key: RunKey, { run, eventLengths }: FoundRun): Promise<ReplyEvent[]> {
    const lengths = eventLengths ?? ''
    // Where tools were called, the messages are not all that was shown.
    if (hasToolEvents(lengths)) return findEvents(database, key, 0)
    const message = await conversations.findMessageOrReplaced(key, run.replyMessageId)
    return decodeEvents({ text: message?.content ?? '', lengths })
  }

  return {
    /** The reply of a run that has ended. */
    async ended(key: RunKey, found: FoundRun): Promise<ReplyView> {
      const { events, end } = await readEnded(key, found)
      return { events, end, committed: events.length, isLost: false, watch: () => () => {} }
    },

    /** The reply of a run that another node executes. Looks for news as long as somebody watches. */
    follow(key: RunKey): ReplyView {
      const known = followed.get(key.runId)
      if (known && !known.isLost) return known
      const listeners = new Set<() => void>()
      let events: ReplyEvent[] = []
      let end: RunEnd | null = null
      let isLost = false
      let isLooking = false

      async function look(): Promise<void> {
        if (isLooking) return
        isLooking = true
        while (listeners.size > 0 && !end && !isLost) {
          const before = events.length
          try {
            await readNews()
          } catch {
            isLost = true
          }
          if (events.length > before || end || isLost) for (const listener of [...listeners]) listener()
          if (!end && !isLost) await new Promise((resolve) => setTimeout(resolve, POLL_MS))
        }
        isLooking = false
      }

      async function readNews(): Promise<void> {
        // In this order: a run that ends between the two reads is seen as ended the next time.
        const found = await findRun(database, key)
        if (!found) throw new Error('the run is gone')
        if (isEnded(found.run.status)) {
          const whole = await readEnded(key, found)
          events = whole.events
          end = whole.end
        } else {
          events = [...events, ...(await findEvents(database, key, events.length))]
        }
      }

      const view: ReplyView = {
        get events() {
          return events
        },
        get committed() {
          return events.length
        },
        get end() {
          return end
        },
        get isLost() {
          return isLost
        },
        watch(listener) {
          listeners.add(listener)
          followed.set(key.runId, view)
          void look()
          return () => {
            listeners.delete(listener)
            if (listeners.size === 0 && followed.get(key.runId) === view) followed.delete(key.runId)
          }
        },
      }
      return view
    },
  }
}

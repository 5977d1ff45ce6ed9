import type { Database } from '../../storage/database.ts'
import type { ConversationTurns } from '../conversations/conversation-turns.ts'
import { splitEvents } from './event-lengths.ts'
import { findEvents } from './event-queries.ts'
import type { ReplyView } from './reply-log.ts'
import type { RunEnd, RunKey } from './run.ts'
import { type FoundRun, findRun } from './run-queries.ts'
import { isEnded } from './turn-state.ts'

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

  async function readEnded(key: RunKey, { run, eventLengths }: FoundRun): Promise<{ texts: string[]; end: RunEnd }> {
    const message = await conversations.findMessageOrReplaced(key, run.replyMessageId)
    const texts = splitEvents(message?.content ?? '', eventLengths ?? [])
    const { status, usage, error } = run
    return { texts, end: { status, finishReason: run.finishReason ?? 'interrupted', usage, error } }
  }

  return {
    /** The reply of a run that has ended. */
    async ended(key: RunKey, found: FoundRun): Promise<ReplyView> {
      const { texts, end } = await readEnded(key, found)
      return { texts, end, committed: texts.length, isLost: false, watch: () => () => {} }
    },

    /** The reply of a run that another node executes. Looks for news as long as somebody watches. */
    follow(key: RunKey): ReplyView {
      const listeners = new Set<() => void>()
      let texts: string[] = []
      let end: RunEnd | null = null
      let isLost = false
      let isLooking = false

      async function look(): Promise<void> {
        if (isLooking) return
        isLooking = true
        while (listeners.size > 0 && !end && !isLost) {
          const before = texts.length
          try {
            await readNews()
          } catch {
            isLost = true
          }
          if (texts.length > before || end || isLost) for (const listener of [...listeners]) listener()
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
          texts = whole.texts
          end = whole.end
        } else {
          texts = [...texts, ...(await findEvents(database, key, texts.length))]
        }
      }

      return {
        get texts() {
          return texts
        },
        get committed() {
          return texts.length
        },
        get end() {
          return end
        },
        get isLost() {
          return isLost
        },
        watch(listener) {
          listeners.add(listener)
          void look()
          return () => listeners.delete(listener)
        },
      }
    },
  }
}

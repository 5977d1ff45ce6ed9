import type { ReplyEvent } from './reply-event.ts'
import type { ReplyView } from './reply-log.ts'

/** Whether a reader gets to see an event: what goes back to the provider is for nobody else, thoughts are for who asks. */
export function isShown(event: ReplyEvent, withThoughts: boolean): boolean {
  if (typeof event === 'string') return true
  if (event.kind === 'beside') return false
  return withThoughts || event.kind !== 'thought'
}

/**
 * A reply with the events that its reader gets to see, which are numbered without gaps. As long as nothing is left out it
 * is the reply itself, without a copy.
 */
export function shownReply(reply: ReplyView, withThoughts: boolean): ReplyView {
  let looked = 0
  let shown: ReplyEvent[] | null = null

  function catchUp(): readonly ReplyEvent[] {
    for (; looked < reply.committed; looked++) {
      const event = reply.events[looked] as ReplyEvent
      const isSeen = isShown(event, withThoughts)
      if (!isSeen) shown ??= reply.events.slice(0, looked)
      if (isSeen) shown?.push(event)
    }
    return shown ?? reply.events
  }

  return {
    get events() {
      return catchUp()
    },
    get committed() {
      catchUp()
      return shown?.length ?? reply.committed
    },
    get end() {
      return reply.end
    },
    get isLost() {
      return reply.isLost
    },
    watch: (listener) => reply.watch(listener),
  }
}

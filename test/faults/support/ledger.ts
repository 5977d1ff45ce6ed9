import { type Block, dataOf, type Item, idOf } from './wire.ts'

/** A text that a client has sent, as a message or in the place of one. */
export type Said = {
  text: string
  onCrash: 'keep' | 'restart'
  /** Which message it was to replace. */
  edits: Said | null
  /** How to send it again, for a request with a key that has not been sent again yet. */
  resend: { path: string; key: string } | null
  /** Moments on the ledger's own clock, which only ever goes up. */
  begunAt: number
  acknowledgedAt: number | null
}

/** What readers have got of a run. */
export type Heard = {
  /** By the number of the event; complete blocks where they came as such. */
  blocks: Map<number, Block>
  /** The `data` of events, from streams that have no ids. */
  data: Map<number, string>
  /** The reply as a whole, where it came at once. */
  whole: string | null
  /** Its sender was told that it was interrupted. */
  isInterrupted: boolean
  receipt: { status: string; textLength: number } | null
}

/** What the clients of one conversation know: the model that the server is held against. */
export type Ledger = {
  conversationId: string
  said: Said[]
  heard: Map<string, Heard>
  /** What should not have happened while all was well. */
  complaints: string[]
  say(text: string, options?: { onCrash?: Said['onCrash']; edits?: Said | null }): Said
  acknowledge(said: Said): void
  hear(runId: string): Heard
  /** Notes an event of a stream; gives back its number, null when it has none. */
  hearBlock(block: Block): number | null
  hearItem(item: string, n: number): void
}

export function createLedger(conversationId: string): Ledger {
  let clock = 0
  const heard = new Map<string, Heard>()
  const said: Said[] = []
  const complaints: string[] = []

  function hear(runId: string): Heard {
    const known = heard.get(runId) ?? {
      blocks: new Map(),
      data: new Map(),
      whole: null,
      isInterrupted: false,
      receipt: null,
    }
    heard.set(runId, known)
    return known
  }

  return {
    conversationId,
    said,
    heard,
    complaints,
    hear,
    say(text, { onCrash = 'keep', edits = null } = {}) {
      const one: Said = { text, onCrash, edits, resend: null, begunAt: ++clock, acknowledgedAt: null }
      said.push(one)
      return one
    },
    acknowledge(one) {
      one.acknowledgedAt ??= ++clock
    },
    hearBlock(block) {
      const id = idOf(block)
      if (!id) return null
      const { blocks, data } = hear(id.runId)
      const before = blocks.get(id.n)
      if (before !== undefined && before !== block) complaints.push(`event ${id.n} of ${id.runId} has changed`)
      blocks.set(id.n, block)
      if (!/^event: /m.test(block)) data.set(id.n, dataOf(block))
      return id.n
    },
    hearItem(item, n) {
      hear((JSON.parse(item) as Item).runId).data.set(n, item)
    },
  }
}

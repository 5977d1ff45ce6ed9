import { randomUUID } from 'node:crypto'
import { createPrinter, type Wire } from '../wire/call.ts'
import type { User } from './user.ts'

/** Conversations to talk in, each with at most so many turns and one user at a time. */
export type Conversations = {
  /** One that nobody else uses; makes one when none is left. */
  take(user: User, key: string): Promise<Conversation>
  /** Makes one and keeps it for later. */
  make(user: User, key: string): Promise<void>
  giveBack(conversation: Conversation): void
  /** How many turns those that are there have left. */
  turnsLeft(): number
}

export type Conversation = { id: string; turnsLeft: number }

/** Turns after which a conversation is left alone, so that its length is not what is measured. */
export const TURNS_EACH = 10

export function createConversations(wire: Wire): Conversations {
  const free: Conversation[] = []
  let turns = 0
  const printer = wire.create === null ? null : createPrinter(wire.create.call)
  const pattern = wire.create === null ? null : new RegExp(wire.create.id)

  async function create(user: User, key: string): Promise<Conversation> {
    // Nothing is made on a server that has none, or where the client chooses the id.
    if (printer === null || pattern === null) return { id: randomUUID(), turnsLeft: TURNS_EACH }
    const { body } = await user.ask(printer('', key))
    const id = pattern.exec(body)?.[1]
    if (id === undefined) throw new Error(`no conversation in the answer: ${body.slice(0, 300)}`)
    return { id, turnsLeft: TURNS_EACH }
  }

  return {
    async take(user, key) {
      const found = free.pop()
      if (found !== undefined) {
        turns -= found.turnsLeft
        return found
      }
      return create(user, key)
    },
    async make(user, key) {
      const made = await create(user, key)
      free.push(made)
      turns += made.turnsLeft
    },
    giveBack(conversation) {
      if (conversation.turnsLeft <= 0) return
      free.push(conversation)
      turns += conversation.turnsLeft
    },
    turnsLeft: () => (printer === null ? Number.POSITIVE_INFINITY : turns),
  }
}

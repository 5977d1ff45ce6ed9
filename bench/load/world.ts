import { createPrinter, type Printer, type Wire } from '../wire/call.ts'
import { MARK } from '../wire/openai-reply.ts'
import { type Conversations, createConversations } from './conversations.ts'
import { createUser, type Expected, type User } from './user.ts'

/** What all jobs of a load process work with: its users stay connected from one to the next. */
export type World = {
  wire: Wire
  expected: Expected
  printTurn: Printer
  conversations: Conversations
  users: User[]
  /** So many users with a connection. */
  connected(count: number): Promise<User[]>
  /** The API key of a user. */
  keyOf(index: number): string
}

/** One key may have 200 turns under way. */
const USERS_PER_KEY = 150

export function createWorld(wire: Wire): World {
  const users: User[] = []
  const keys = wire.keys ?? ['']
  return {
    wire,
    expected: { ending: wire.ending, marks: wire.marks, mark: Buffer.from(wire.mark ?? MARK) },
    printTurn: createPrinter(wire.turn),
    conversations: createConversations(wire),
    users,
    async connected(count) {
      while (users.length < count) users.push(createUser(wire.port))
      const chosen = users.slice(0, count)
      await Promise.all(chosen.map((user) => user.connect()))
      return chosen
    },
    keyOf: (index) => keys[Math.floor(index / USERS_PER_KEY) % keys.length] as string,
  }
}

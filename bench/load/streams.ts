import { summarize } from './drive.ts'
import type { JobOf, Measured } from './jobs.ts'
import { createUser, type User } from './user.ts'
import type { World } from './world.ts'

/** Streams that are opened at the same time, so that it is not the crowd at the door that is measured. */
const OPENERS = 50

let streamsOpen = 0

/** Starts streams beside those that are open. The count of the answer is how many are open at the end. */
export async function openStreams(world: World, { count, marks }: JobOf<'streams'>): Promise<Measured> {
  const startedAt = performance.now()
  const failures: Error[] = []
  const opened: Promise<void>[] = []
  const openNext = async () => {
    while (world.users.length < count && failures.length === 0) {
      const user = createUser(world.wire.port)
      const stream = openStream(world, user, world.keyOf(world.users.push(user)), marks)
      opened.push(stream.farEnough.catch((error) => void failures.push(error)))
      await stream.begun
    }
  }
  await Promise.all(Array.from({ length: OPENERS }, openNext))
  await Promise.all(opened)
  const seconds = (performance.now() - startedAt) / 1_000
  return { ...summarize({ totals: [], firsts: [], failures, seconds }), count: streamsOpen }
}

type Stream = {
  /** With the first token, or when it failed. */
  begun: Promise<void>
  /** With so many tokens. */
  farEnough: Promise<void>
}

function openStream({ conversations, expected, printTurn }: World, user: User, key: string, marks: number): Stream {
  const begun = Promise.withResolvers<void>()
  const farEnough = Promise.withResolvers<void>()
  const run = async () => {
    await user.connect()
    const conversation = await conversations.take(user, key)
    streamsOpen++
    try {
      await user.stream(printTurn(conversation.id, key), expected, (n) => {
        begun.resolve()
        if (n >= marks) farEnough.resolve()
      })
    } finally {
      streamsOpen--
    }
  }
  run().catch((error) => {
    begun.resolve()
    farEnough.reject(error)
  })
  return { begun: begun.promise, farEnough: farEnough.promise }
}

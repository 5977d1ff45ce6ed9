import { createPrinter } from '../wire/call.ts'
import { drive, summarize, type Work } from './drive.ts'
import type { JobOf, Measured } from './jobs.ts'
import type { User } from './user.ts'
import type { World } from './world.ts'

/** Users that make conversations meanwhile for turns to come. */
const MAKERS = 16
/** A warm-up tells how many conversations a measurement will use; it may be faster than that. */
const RESERVE = 1.5
/** Turns that each user shall have time for: on a server that is so slow it is measured for longer. */
const TURNS_OF_EACH = 5

/** Conversations are made one after the other by each user. */
export async function create(world: World, job: JobOf<'create'>, onMeasuring: () => void): Promise<Measured> {
  const work: Work = async (user, index) => {
    const startedAt = performance.now()
    await world.conversations.make(user, world.keyOf(index))
    return { firstMs: Number.NaN, totalMs: performance.now() - startedAt, body: '' }
  }
  await drive(await world.connected(job.users), job.warmMs, work)
  const ready = await world.connected(job.users)
  onMeasuring()
  return drive(ready, job.ms, work)
}

/** Each user takes one turn after the other, in conversations that nobody else uses meanwhile. */
export async function turns(world: World, job: JobOf<'turns'>, onMeasuring: () => void): Promise<Measured> {
  const { conversations, expected, keyOf, printTurn } = world
  const work: Work = async (user, index) => {
    const key = keyOf(index)
    const conversation = await conversations.take(user, key)
    conversation.turnsLeft--
    const answer = await user.stream(printTurn(conversation.id, key), expected)
    // Not after a failure: its next turn would fail too.
    conversations.giveBack(conversation)
    return answer
  }
  await provide(world, job.users * 2)
  const warmed = await drive(await world.connected(job.users), job.warmMs, work)
  const ms = Math.max(job.ms, warmed.total.p50 * TURNS_OF_EACH)
  await provide(world, warmed.perSecond * (ms / 1_000) * RESERVE + job.users * 2)
  const ready = await world.connected(job.users)
  onMeasuring()
  return drive(ready, ms, work)
}

/** Sees to it that there are conversations for this many turns. */
async function provide({ conversations, connected, keyOf }: World, count: number): Promise<void> {
  const makers = await connected(MAKERS)
  await Promise.all(
    makers.map(async (user, index) => {
      while (conversations.turnsLeft() < count) await conversations.make(user, keyOf(index))
    }),
  )
}

/** One user takes turns in each of these conversations; the first one warms up. */
export async function history(world: World, job: JobOf<'history'>, onMeasuring: () => void): Promise<Measured> {
  const [user] = (await world.connected(1)) as [User]
  const print = createPrinter(job.call)
  const totals: number[] = []
  const firsts: number[] = []
  const failures: Error[] = []
  let startedAt = performance.now()
  for (const [i, id] of job.ids.entries()) {
    if (i === 1) {
      onMeasuring()
      startedAt = performance.now()
    }
    for (let n = 0; n < job.turns; n++) {
      try {
        const { firstMs, totalMs } = await user.stream(print(id, world.keyOf(0)), world.expected)
        if (i === 0) continue
        totals.push(totalMs)
        firsts.push(firstMs)
      } catch (error) {
        failures.push(error as Error)
      }
    }
  }
  return summarize({ totals, firsts, failures, seconds: (performance.now() - startedAt) / 1_000 })
}

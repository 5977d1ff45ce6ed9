import { setTimeout as wait } from 'node:timers/promises'
import { createPrinter } from '../wire/call.ts'
import { TURNS_EACH } from './conversations.ts'
import { summarize } from './drive.ts'
import type { JobOf, Measured } from './jobs.ts'
import type { User } from './user.ts'
import type { World } from './world.ts'

/** Turns after which a user looks at the conversation, at the list, and says how good the reply was. */
const LOOKS_AFTER = [5, 10]
const LAST_MESSAGE = /.*"messageId":"([^"]+)"/s

/**
 * Users who begin a conversation, take turns in it, read it and judge it, and begin another, together at a fixed rate of
 * turns. Reports what their turns took every `sliceMs`.
 */
export async function mixed(world: World, job: JobOf<'mixed'>, onSlice: (slice: Measured) => void): Promise<Measured> {
  const { conversations, expected, keyOf, printTurn } = world
  const [read, list, score] = [job.read, job.list, job.score].map(createPrinter) as [Print, Print, Print]
  const endsAt = performance.now() + job.ms
  /** Milliseconds between two turns of one user. */
  const paceMs = (1_000 * job.users) / job.perSecond
  const all = { count: 0, errors: 0, firstError: null as string | null }
  let slice = newSlice()

  async function visit(user: User, key: string, due: { at: number }): Promise<void> {
    const conversation = await conversations.take(user, key)
    for (let n = 1; n <= TURNS_EACH && performance.now() < endsAt; n++) {
      due.at = Math.max(due.at + paceMs, performance.now() - paceMs)
      const waitMs = due.at - performance.now()
      if (waitMs > 0) await wait(waitMs)
      const { firstMs, totalMs } = await user.stream(printTurn(conversation.id, key), expected)
      slice.totals.push(totalMs)
      slice.firsts.push(firstMs)
      if (!LOOKS_AFTER.includes(n)) continue
      const { body } = await user.ask(read(conversation.id, key))
      await user.ask(list('', key))
      const message = LAST_MESSAGE.exec(body)?.[1]
      if (message === undefined) throw new Error('the conversation that was read has no message')
      await user.ask(score(conversation.id, key, message))
    }
  }

  async function live(user: User, index: number): Promise<void> {
    // Not all of them at the same moment.
    const due = { at: performance.now() + (paceMs * index) / job.users }
    while (performance.now() < endsAt) {
      try {
        await visit(user, keyOf(index), due)
      } catch (error) {
        slice.failures.push(error as Error)
        await wait(paceMs)
      }
    }
  }

  function endSlice(): void {
    const ended = slice
    slice = newSlice()
    const summary = summarize({ ...ended, seconds: (performance.now() - ended.startedAt) / 1_000 })
    all.count += summary.count
    all.errors += summary.errors
    all.firstError ??= summary.firstError
    onSlice(summary)
  }

  const timer = setInterval(endSlice, job.sliceMs)
  await Promise.all((await world.connected(job.users)).map(live))
  clearInterval(timer)
  return { ...summarize({ ...newSlice(), seconds: job.ms / 1_000 }), ...all }
}

type Print = ReturnType<typeof createPrinter>

const newSlice = () => ({
  startedAt: performance.now(),
  totals: [] as number[],
  firsts: [] as number[],
  failures: [] as Error[],
})

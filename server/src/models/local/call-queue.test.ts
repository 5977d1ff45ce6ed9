import { expect, test } from 'vitest'
import { createCallQueue } from './call-queue.ts'

const never = new AbortController().signal
const HERE = ['organization', 'key']

test('one after the other, in order, and no more than may wait', async () => {
  let time = 0
  const queue = createCallQueue({ most: 2, now: () => time })
  const order: number[] = []
  const leave = await queue.enter(HERE, never)
  const others = [1, 2].map(async (n) => {
    const done = await queue.enter(HERE, never)
    order.push(n)
    return done
  })
  // Nothing has been measured: 5 s for each of the three.
  await expect(queue.enter(HERE, never)).rejects.toMatchObject({ name: 'CallQueueFullError', waitMs: 15_000 })
  time = 1_000
  leave()
  leave()
  const second = await others[0]
  expect(order).toEqual([1])
  // (5 s + 1 s) / 2, for the one that runs and the one that waits; one more may.
  const third = queue.enter(HERE, never)
  await expect(queue.enter(HERE, never)).rejects.toMatchObject({ waitMs: 9_000 })
  second?.()
  ;(await others[1])?.()
  ;(await third)()
  expect(queue.isIdle()).toBe(true)
})

test('whoever gives up leaves the queue', async () => {
  const queue = createCallQueue({ most: 1, now: () => 0 })
  const leave = await queue.enter(HERE, never)
  const impatient = new AbortController()
  const waiting = queue.enter(HERE, impatient.signal)
  impatient.abort(new Error('enough'))
  await expect(waiting).rejects.toThrow('enough')
  const next = queue.enter(HERE, never)
  leave()
  ;(await next)()
  await expect(queue.enter(HERE, impatient.signal)).rejects.toThrow('enough')
  expect(queue.isIdle()).toBe(true)
})

test('the wait is never said to be longer than a minute', async () => {
  let time = 0
  const queue = createCallQueue({ most: 0, now: () => time })
  const leave = await queue.enter(HERE, never)
  time = 3_600_000
  leave()
  await queue.enter(HERE, never)
  await expect(queue.enter(HERE, never)).rejects.toMatchObject({ waitMs: 60_000 })
})

test('organizations take turns, and one that waits makes room for another', async () => {
  const queue = createCallQueue({ most: 2, now: () => 0 })
  const order: string[] = []
  const come = (organization: string) =>
    queue.enter([organization, 'key'], never).then(
      (leave) => {
        order.push(organization)
        leave()
      },
      (error: unknown) => order.push(`${organization} ${(error as Error).name}`),
    )
  const leave = await queue.enter(['loud', 'key'], never)
  const all = [come('loud'), come('loud'), come('quiet')]
  await all[1]
  expect(order).toEqual(['loud CallQueueFullError'])
  leave()
  await Promise.all(all)
  expect(order).toEqual(['loud CallQueueFullError', 'loud', 'quiet'])
})

import { expect, test } from 'vitest'
import { createPaced } from './paced.ts'

/** A task that costs `cost`, on a clock that only pauses move. */
function setUp(cost: number, options: { share?: number; burstMs?: number } = {}) {
  let time = 0
  const begun: { at: number; wishes: string[] }[] = []
  const pauses: number[] = []
  const wake: (() => void)[] = []
  const ask = createPaced<string>(
    async (wishes) => {
      begun.push({ at: time, wishes: [...wishes] })
      time += cost
      return cost
    },
    {
      share: 0.02,
      burstMs: 1_000,
      ...options,
      now: () => time,
      sleep: (ms) => {
        pauses.push(ms)
        return new Promise((resolve) =>
          wake.push(() => {
            time += ms
            resolve()
          }),
        )
      },
    },
  )
  return { ask, begun, pauses, wake }
}

test('is done at once after a rest, and then so that it costs its share', async () => {
  const { ask, begun, pauses, wake } = setUp(600)
  await ask(['a'])
  await ask(['b'])
  const third = ask(['c'])
  await expect.poll(() => wake.length).toBe(1)
  expect(begun.map(({ at }) => at)).toEqual([0, 600])
  // 200 too much, of which 12 have come back meanwhile.
  expect(Math.round(pauses[0] ?? 0)).toBe((1 + 200 - 12) * 50)
  wake[0]?.()
  await third
  expect(begun).toHaveLength(3)
})

test('once for all who ask before it begins, with what each of them wants', async () => {
  const { ask, begun, wake } = setUp(2_000)
  const first = ask(['a'])
  const second = ask(['b'])
  expect(second).toBe(first)
  await first
  const later = [ask(['c']), ask(['d', 'c'])]
  await expect.poll(() => wake.length).toBe(1)
  later.push(ask(['e']))
  wake[0]?.()
  await Promise.all(later)
  expect(begun.map(({ wishes }) => wishes)).toEqual([
    ['a', 'b'],
    ['c', 'd', 'e'],
  ])
})

test('whoever asks while it is done gets another, and a failure is that of its own round', async () => {
  let rounds = 0
  const gate = Promise.withResolvers<void>()
  const ask = createPaced<string>(
    async () => {
      rounds++
      if (rounds > 1) return 0
      await gate.promise
      throw new Error('the first one')
    },
    { share: 0.5, burstMs: 10 },
  )
  const first = ask([])
  await expect.poll(() => rounds).toBe(1)
  const second = ask([])
  expect(second).not.toBe(first)
  gate.resolve()
  await expect(first).rejects.toThrow('the first one')
  await second
  expect(rounds).toBe(2)
})

test('who waits for the next time can give up', async () => {
  const ask = createPaced<string>(async () => 1_000_000, { share: 0.01, burstMs: 1 })
  await ask([])
  const stop = new AbortController()
  const waiting = ask([], stop.signal)
  stop.abort()
  await expect(waiting).rejects.toThrow()
})

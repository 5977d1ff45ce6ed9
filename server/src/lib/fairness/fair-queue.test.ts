import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Path } from './fair-line.ts'
import { createFairQueue, QueueFullError } from './fair-queue.ts'

const settle = () => new Promise((resolve) => setImmediate(resolve))

/** A queue whose work ends when the test says so; `order` is who has begun. */
function setUp(options: { atOnce?: number; most?: number; atOnceEach?: readonly number[] } = {}) {
  const queue = createFairQueue({ atOnce: 1, most: 100, ...options })
  const order: string[] = []
  const refused: string[] = []
  const ends: (() => void)[] = []
  const come = (path: Path, name = path.join('/'), signal?: AbortSignal) => {
    queue.enter(path, signal).then(
      (leave) => {
        order.push(name)
        ends.push(leave)
      },
      () => refused.push(name),
    )
    return settle()
  }
  const endOne = () => {
    ends.shift()?.()
    return settle()
  }
  const endAll = async () => {
    while (ends.length > 0) await endOne()
  }
  return { queue, order, refused, come, endOne, endAll }
}

test('groups take turns, their own in order, and so in each of them', async () => {
  const { order, come, endAll } = setUp()
  await come(['a', 'x'], 'first')
  for (const name of ['a1', 'a2', 'a3']) await come(['a', 'x'], name)
  await come(['a', 'y'], 'y1')
  await come(['b', 'z'], 'b1')
  await come(['b', 'z'], 'b2')
  await endAll()
  expect(order).toEqual(['first', 'a1', 'b1', 'y1', 'b2', 'a2', 'a3'])
})

test('a group that waits least makes room, the youngest of the fullest goes', async () => {
  const { order, refused, come, endAll } = setUp({ most: 3 })
  await come(['a', 'x'], 'first')
  for (const name of ['a1', 'a2', 'a3', 'a4']) await come(['a', 'x'], name)
  expect(refused).toEqual(['a4'])
  await come(['b', 'z'], 'b1')
  expect(refused).toEqual(['a4', 'a3'])
  await come(['a', 'y'], 'y1')
  expect(refused).toEqual(['a4', 'a3', 'a2'])
  // Two and one: another would only turn that round.
  await come(['b', 'z'], 'b2')
  expect(refused).toEqual(['a4', 'a3', 'a2', 'b2'])
  await endAll()
  expect(order).toEqual(['first', 'a1', 'b1', 'y1'])
})

test('one group never has all that work at the same time', async () => {
  const { order, come, endOne } = setUp({ atOnce: 4, atOnceEach: [2] })
  for (const name of ['a1', 'a2', 'a3']) await come(['a'], name)
  await come(['b'])
  expect(order).toEqual(['a1', 'a2', 'b'])
  await endOne()
  expect(order).toEqual(['a1', 'a2', 'b', 'a3'])
})

test('nor one step further in: a key leaves places to the others of its organization', async () => {
  const { order, come, endOne } = setUp({ atOnce: 8, atOnceEach: [4, 3] })
  for (const name of ['x1', 'x2', 'x3', 'x4']) await come(['a', 'x'], name)
  await come(['a', 'y'], 'y1')
  await come(['a', 'y'], 'y2')
  await come(['b', 'x'], 'other')
  expect(order).toEqual(['x1', 'x2', 'x3', 'y1', 'other'])
  await endOne()
  await endOne()
  expect(order.slice(5)).toEqual(['x4', 'y2'])
})

test('who gives up is gone, and takes nobody’s turn', async () => {
  const { queue, order, refused, come, endAll } = setUp()
  const impatient = new AbortController()
  await come(['a'], 'first')
  await come(['a'], 'a1', impatient.signal)
  await come(['a'], 'a2')
  impatient.abort(new Error('enough'))
  await settle()
  expect(refused).toEqual(['a1'])
  await expect(queue.enter(['a'], impatient.signal)).rejects.toThrow('enough')
  await endAll()
  expect(order).toEqual(['first', 'a2'])
  expect(queue.count()).toEqual({ atWork: 0, waiting: 0 })
})

type Step = { kind: 'come'; path: [string, string] } | { kind: 'end' } | { kind: 'give up'; which: number }

const steps = fc.array(
  fc.oneof(
    fc.record({
      kind: fc.constant('come' as const),
      path: fc.tuple(fc.constantFrom('a', 'b', 'c'), fc.constantFrom('x', 'y')),
    }),
    fc.record({ kind: fc.constant('end' as const) }),
    fc.record({ kind: fc.constant('give up' as const), which: fc.nat(50) }),
  ),
  { maxLength: 60 },
)

test('whatever comes and goes: bounded, nobody lost, nobody overtaken by two of another', async () => {
  const bounds = fc.record({ atOnce: fc.integer({ min: 1, max: 3 }), most: fc.integer({ min: 0, max: 6 }) })
  await fc.assert(
    fc.asyncProperty(bounds, steps, async ({ atOnce, most }, script: Step[]) => {
      const queue = createFairQueue({ atOnce, most })
      const all = new Map<
        number,
        { path: Path; state: 'waits' | 'works' | 'over' | 'refused'; giveUp: AbortController }
      >()
      const begun: number[] = []
      const ends = new Map<number, () => void>()
      const come = (path: Path) => {
        const n = all.size
        const one = { path, state: 'waits' as 'waits' | 'works' | 'over' | 'refused', giveUp: new AbortController() }
        all.set(n, one)
        queue.enter(path, one.giveUp.signal).then(
          (leave) => {
            one.state = 'works'
            begun.push(n)
            ends.set(n, leave)
          },
          (error) => {
            if (!one.giveUp.signal.aborted) expect(error).toBeInstanceOf(QueueFullError)
            one.state = 'refused'
          },
        )
      }
      const countOf = (state: string) => [...all.values()].filter((one) => one.state === state).length
      const endFirst = () => {
        const [n, leave] = ends.entries().next().value ?? []
        if (n === undefined || !leave) return
        ends.delete(n)
        ;(all.get(n) as { state: string }).state = 'over'
        leave()
      }
      for (const step of script) {
        if (step.kind === 'come') come(step.path)
        else if (step.kind === 'end') endFirst()
        else all.get(step.which)?.giveUp.abort()
        await settle()
        expect(countOf('works')).toBeLessThanOrEqual(atOnce)
        expect(countOf('waits')).toBeLessThanOrEqual(most)
        expect(queue.count()).toEqual({ atWork: countOf('works'), waiting: countOf('waits') })
        // Nobody waits while there is a place.
        if (countOf('waits') > 0) expect(countOf('works')).toBe(atOnce)
      }
      // From here on nobody comes: then between two of one organization each other that waits has one.
      const waiting = [...all].filter(([, { state }]) => state === 'waits')
      begun.length = 0
      while (ends.size > 0) {
        endFirst()
        await settle()
      }
      expect(countOf('waits') + countOf('works')).toBe(0)
      expect([...begun].sort()).toEqual(waiting.map(([n]) => n).sort())
      const order = begun.map((n) => all.get(n)?.path[0])
      for (const organization of new Set(order)) {
        const last = order.lastIndexOf(organization)
        for (const other of new Set(order)) {
          if (other === organization) continue
          const before = order.slice(0, last)
          const theirs = before.filter((one) => one === other).length
          const ours = before.filter((one) => one === organization).length
          expect(theirs).toBeLessThanOrEqual(ours + 1)
        }
      }
      // Of one path whoever came first begins first.
      for (const path of new Set(waiting.map(([, one]) => one.path.join()))) {
        const mine = begun.filter((n) => all.get(n)?.path.join() === path)
        expect(mine).toEqual([...mine].sort((a, b) => a - b))
      }
    }),
    { numRuns: 200 },
  )
})

import { expect, test } from 'vitest'
import { createMainThread } from './main-thread.ts'

/** Keeps the thread busy. */
function work(ms: number): void {
  const until = performance.now() + ms
  while (performance.now() < until);
}

test('others have their turns between pieces of work', async () => {
  const mainThread = createMainThread()
  const order: string[] = []
  const pieces = Array.from({ length: 4 }, () =>
    mainThread.run(['o', 'k'], () => {
      work(6)
      order.push('piece')
    }),
  )
  const beat = () => {
    order.push('other')
    if (order.filter((one) => one === 'piece').length < 4) setImmediate(beat)
  }
  setImmediate(beat)
  await Promise.all(pieces)
  expect(order.join(' ')).toMatch(/^piece( other)+ piece( other)+ piece( other)+ piece/)
})

test('keys take turns', async () => {
  const mainThread = createMainThread()
  const order: string[] = []
  const run = (path: string[]) => mainThread.run(path, () => order.push(path.join('/')))
  await Promise.all([
    ...[1, 2, 3].map(() => run(['o', 'loud'])),
    ...[1, 2].map(() => run(['o', 'quiet'])),
    run(['other', 'k']),
  ])
  expect(order).toEqual(['o/loud', 'o/loud', 'other/k', 'o/quiet', 'o/loud', 'o/quiet'])
})

test('what fails leaves its place', async () => {
  const mainThread = createMainThread()
  const failed = mainThread.run([], () => {
    throw new Error('no')
  })
  await expect(failed).rejects.toThrow('no')
  expect(await mainThread.run([], () => 'yes')).toBe('yes')
})

import { expect, test } from 'vitest'
import { createBackground } from './background.ts'

function setUp(options: { atOnce?: number; most?: number } = {}) {
  const errors: [unknown, string][] = []
  const background = createBackground({
    ...{ atOnce: 2, most: 10, ...options },
    onError: (error, name) => errors.push([error, name]),
  })
  const begun: string[] = []
  const ends = new Map<string, () => void>()
  const add = (name: string) =>
    background.add(name, () => {
      begun.push(name)
      return new Promise((resolve) => ends.set(name, resolve))
    })
  const settle = () => new Promise((resolve) => setImmediate(resolve))
  return { background, errors, begun, ends, add, settle }
}

test('does so many at once, and the others in their order', async () => {
  const { add, begun, ends, settle } = setUp()
  for (const name of ['a', 'b', 'c', 'd']) expect(add(name)).toBe(true)
  expect(begun).toEqual(['a', 'b'])
  ends.get('b')?.()
  await settle()
  expect(begun).toEqual(['a', 'b', 'c'])
})

test('does nothing twice at the same time, and again afterwards', async () => {
  const { add, ends, settle } = setUp()
  expect(add('a')).toBe(true)
  expect(add('a')).toBe(false)
  ends.get('a')?.()
  await settle()
  expect(add('a')).toBe(true)
})

test('refuses more than may wait', () => {
  const { add } = setUp({ atOnce: 1, most: 1 })
  expect(['a', 'b', 'c'].map(add)).toEqual([true, true, false])
})

test('goes on after a failure', async () => {
  const { background, errors, add, begun, settle } = setUp({ atOnce: 1 })
  background.add('bad', () => Promise.reject(new Error('no')))
  add('good')
  await settle()
  expect(errors).toEqual([[new Error('no'), 'bad']])
  expect(begun).toEqual(['good'])
})

test('stops what is under way, and takes nothing more', async () => {
  const { background, add } = setUp({ atOnce: 1 })
  let isAborted = false
  background.add('a', (signal) => new Promise((resolve) => signal.addEventListener('abort', () => resolve())))
  background.add('b', async (signal) => {
    isAborted = signal.aborted
  })
  await background.stop()
  expect(isAborted).toBe(false)
  expect(add('c')).toBe(false)
})

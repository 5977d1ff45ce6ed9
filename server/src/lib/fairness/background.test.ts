import { expect, test } from 'vitest'
import { createBackground } from './background.ts'

const settle = () => new Promise((resolve) => setImmediate(resolve))

function setUp(options: { atOnce?: number; atOnceEach?: readonly number[]; most?: number } = {}) {
  const errors: [unknown, string][] = []
  const dropped: string[] = []
  const background = createBackground({
    atOnce: 2,
    atOnceEach: [2],
    most: 10,
    ...options,
    onError: (error, name) => errors.push([error, name]),
    onDropped: (name) => dropped.push(name),
  })
  const begun: string[] = []
  const ends = new Map<string, () => void>()
  const add = (name: string, organization = 'o') =>
    background.add([organization], name, () => {
      begun.push(name)
      return new Promise((resolve) => ends.set(name, resolve))
    })
  return { background, errors, dropped, begun, ends, add }
}

test('does so many at once, and the others in their order', async () => {
  const { add, begun, ends } = setUp()
  for (const name of ['a', 'b', 'c', 'd']) expect(add(name)).toBe(true)
  await settle()
  expect(begun).toEqual(['a', 'b'])
  ends.get('b')?.()
  await settle()
  expect(begun).toEqual(['a', 'b', 'c'])
})

test('does nothing twice at the same time, and again afterwards', async () => {
  const { add, ends } = setUp()
  expect(add('a')).toBe(true)
  expect(add('a')).toBe(false)
  await settle()
  ends.get('a')?.()
  await settle()
  expect(add('a')).toBe(true)
})

test('drops more than may wait, of the organization that has most of them', async () => {
  const { add, begun, dropped, ends } = setUp({ atOnce: 1, most: 2 })
  for (const name of ['a', 'b', 'c', 'd']) add(name, 'loud')
  add('mine', 'quiet')
  await settle()
  expect(dropped).toEqual(['d', 'c'])
  ends.get('a')?.()
  await settle()
  ends.get('b')?.()
  await settle()
  expect(begun).toEqual(['a', 'b', 'mine'])
})

test('leaves places to others', async () => {
  const { add, begun } = setUp({ atOnce: 2, atOnceEach: [1] })
  add('a', 'loud')
  add('b', 'loud')
  add('mine', 'quiet')
  await settle()
  expect(begun).toEqual(['a', 'mine'])
})

test('goes on after a failure', async () => {
  const { background, errors, add, begun } = setUp({ atOnce: 1 })
  background.add(['o'], 'bad', () => Promise.reject(new Error('no')))
  add('good')
  await settle()
  expect(errors).toEqual([[new Error('no'), 'bad']])
  expect(begun).toEqual(['good'])
})

test('stops what is under way, and takes nothing more', async () => {
  const { background, errors, begun, add } = setUp({ atOnce: 1 })
  background.add(['o'], 'a', (signal) => new Promise((resolve) => signal.addEventListener('abort', () => resolve())))
  add('b')
  await settle()
  await background.stop()
  expect(begun).toEqual([])
  expect(errors).toEqual([])
  expect(add('c')).toBe(false)
})

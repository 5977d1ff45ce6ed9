import { expect, test } from 'vitest'
import { createFairLine } from './fair-line.ts'

test('owners take turns, however many of one wait', () => {
  const line = createFairLine<number>(3)
  expect([1, 2, 3, 4].map((one) => line.add('greedy', one))).toEqual([true, true, true, false])
  line.add('modest', 5)
  const order = Array.from({ length: 5 }, () => line.take(() => true)?.one)
  expect(order).toEqual([1, 5, 2, 3, undefined])
})

test('an owner who may not be served keeps the place', () => {
  const line = createFairLine<number>(3)
  line.add('first', 1)
  line.add('second', 2)
  expect(line.take((owner) => owner !== 'first')).toEqual({ owner: 'second', one: 2 })
  expect(line.take((owner) => owner !== 'first')).toBeNull()
  expect(line.takeAll()).toEqual([1])
  expect(line.take(() => true)).toBeNull()
})

import { expect, test } from 'vitest'
import { createTurnLimits } from './turn-limits.ts'

test('refuses one key more than it may have, and no other', () => {
  const limits = createTurnLimits({ perKey: 2, inAll: 10 })
  const leave = limits.enter('a')
  limits.enter('a')
  expect(() => limits.enter('a')).toThrow(
    expect.objectContaining({ code: 'rate_limited', retryAfterMs: 1_000, refusedBy: 'running_turns_of_key' }),
  )
  limits.enter('b')
  leave()
  limits.enter('a')
  expect(limits.count()).toBe(3)
})

test('refuses everybody when the process has as many as it may', () => {
  const limits = createTurnLimits({ perKey: 2, inAll: 3 })
  const places = ['a', 'b', 'c'].map((key) => limits.enter(key))
  expect(() => limits.enter('d')).toThrow(
    expect.objectContaining({ code: 'unavailable', retryAfterMs: 1_000, refusedBy: 'running_turns' }),
  )
  for (const leave of places) leave()
  expect(limits.count()).toBe(0)
  limits.enter('d')
})

test('leaving twice gives one place back', () => {
  const limits = createTurnLimits({ perKey: 5, inAll: 5 })
  const leave = limits.enter('a')
  limits.enter('a')
  leave()
  leave()
  expect(limits.count()).toBe(1)
})

test('turns that had a place keep it, whatever the limits say', () => {
  const limits = createTurnLimits({ perKey: 1, inAll: 2 })
  const places = [limits.occupy('a'), limits.occupy('a'), limits.occupy(null)]
  expect(limits.count()).toBe(3)
  expect(() => limits.enter('b')).toThrow(expect.objectContaining({ code: 'unavailable' }))
  for (const leave of places) leave()
  limits.enter('a')
})

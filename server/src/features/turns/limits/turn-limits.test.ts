import { expect, test } from 'vitest'
import { createTurnLimits } from './turn-limits.ts'

const of = (keyId: string | null, organizationId = 'o') => ({ organizationId, keyId })

test('refuses one key more than it may have, and no other', () => {
  const limits = createTurnLimits({ perKey: 2, inAll: 10 })
  const place = limits.enter(of('a'))
  limits.enter(of('a'))
  expect(() => limits.enter(of('a'))).toThrow(
    expect.objectContaining({ code: 'rate_limited', retryAfterMs: 1_000, refusedBy: 'running_turns_of_key' }),
  )
  limits.enter(of('b'))
  place.leave()
  limits.enter(of('a'))
  expect(limits.count()).toBe(3)
})

test('refuses everybody when the process has as many as it may', () => {
  const limits = createTurnLimits({ perKey: 2, inAll: 3 })
  const places = ['a', 'b', 'c'].map((key) => limits.enter(of(key)))
  expect(() => limits.enter(of('d'))).toThrow(
    expect.objectContaining({ code: 'unavailable', retryAfterMs: 1_000, refusedBy: 'running_turns' }),
  )
  for (const place of places) place.leave()
  expect(limits.count()).toBe(0)
  limits.enter(of('d'))
})

test('refuses one organization its last half when there are others', () => {
  const limits = createTurnLimits({ perKey: 100, inAll: 8, isShared: () => true })
  for (let n = 0; n < 4; n++) limits.enter(of('a', 'loud'))
  expect(() => limits.enter(of('b', 'loud'))).toThrow(
    expect.objectContaining({ code: 'rate_limited', refusedBy: 'running_turns_of_organization' }),
  )
  limits.enter(of('c', 'quiet'))
})

test('leaving twice gives one place back', () => {
  const limits = createTurnLimits({ perKey: 5, inAll: 5 })
  const place = limits.enter(of('a'))
  limits.enter(of('a'))
  place.leave()
  place.leave()
  expect(limits.count()).toBe(1)
})

test('turns that had a place keep it, whatever the limits say', () => {
  const limits = createTurnLimits({ perKey: 1, inAll: 2 })
  const places = [limits.occupy(of('a')), limits.occupy(of('a')), limits.occupy(of(null))]
  expect(limits.count()).toBe(3)
  expect(() => limits.enter(of('b'))).toThrow(expect.objectContaining({ code: 'unavailable' }))
  for (const place of places) place.leave()
  limits.enter(of('a'))
})

test('whoever waits for a person gives the place to others, and has one again afterwards', () => {
  const limits = createTurnLimits({ perKey: 2, inAll: 10 })
  const places = [limits.enter(of('a')), limits.enter(of('a'))]
  for (const place of places) place.pause()
  expect([limits.count(), limits.waiting()]).toEqual([0, 2])
  const others = [limits.enter(of('a')), limits.enter(of('a'))]
  // As many as may wait do: these keep the places that they have, and the next one is refused.
  for (const place of others) place.pause()
  expect([limits.count(), limits.waiting()]).toEqual([2, 2])
  expect(() => limits.enter(of('a'))).toThrow(expect.objectContaining({ refusedBy: 'running_turns_of_key' }))
  for (const place of places) place.resume()
  expect([limits.count(), limits.waiting()]).toEqual([4, 0])
  for (const place of [...places, ...others]) {
    place.leave()
    place.pause()
    place.resume()
  }
  expect([limits.count(), limits.waiting()]).toEqual([0, 0])
})

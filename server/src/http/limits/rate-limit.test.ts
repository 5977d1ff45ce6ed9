import { expect, test } from 'vitest'
import { createTokenBuckets } from './rate-limit.ts'

function bucketsOf(perMinute: number) {
  const time = { at: 5_000 }
  return { time, buckets: createTokenBuckets({ perMinute, now: () => time.at }) }
}

test('a bucket has the tokens of a minute, and then none', () => {
  const { buckets } = bucketsOf(3)
  expect([1, 2, 3, 4, 5].map(() => buckets.take('a'))).toMatchObject([
    { isAllowed: true, limit: 3, remaining: 2, resetMs: 20_000 },
    { isAllowed: true, limit: 3, remaining: 1, resetMs: 40_000 },
    { isAllowed: true, limit: 3, remaining: 0, resetMs: 60_000, retryAfterMs: 20_000 },
    { isAllowed: false, limit: 3, remaining: 0, resetMs: 60_000, retryAfterMs: 20_000 },
    { isAllowed: false, limit: 3, remaining: 0, resetMs: 60_000, retryAfterMs: 20_000 },
  ])
})

test.each([1, 7, 60, 1_000, 99_991])('who waits as long as asked gets a token (%i a minute)', (perMinute) => {
  const { time, buckets } = bucketsOf(perMinute)
  for (let n = 0; n < perMinute; n++) expect(buckets.take('a').isAllowed).toBe(true)
  for (let n = 0; n < 20; n++) {
    const refused = buckets.take('a')
    expect(refused).toMatchObject({ isAllowed: false, remaining: 0 })
    time.at += refused.retryAfterMs * 0.9
    expect(buckets.take('a').isAllowed).toBe(false)
    time.at += refused.retryAfterMs * 0.1
    expect(buckets.take('a')).toMatchObject({ isAllowed: true, remaining: 0 })
  }
})

test('refused requests cost no tokens, and a minute brings all of them back', () => {
  const { time, buckets } = bucketsOf(10)
  for (let n = 0; n < 1_000; n++) buckets.take('a')
  time.at += 60_000
  expect(buckets.look('a')).toMatchObject({ isAllowed: true, remaining: 10, resetMs: 0, retryAfterMs: 0 })
})

test('looking takes nothing', () => {
  const { buckets } = bucketsOf(2)
  buckets.take('a')
  for (let n = 0; n < 5; n++) expect(buckets.look('a')).toMatchObject({ isAllowed: true, remaining: 1 })
  buckets.take('a')
  expect(buckets.look('a').isAllowed).toBe(false)
  expect(buckets.size()).toBe(1)
})

test('a token that is given back can be taken again', () => {
  const { time, buckets } = bucketsOf(2)
  buckets.take('a')
  buckets.take('a')
  buckets.giveBack('a')
  expect([buckets.take('a').isAllowed, buckets.take('a').isAllowed]).toEqual([true, false])
  time.at += 60_000
  buckets.giveBack('a')
  expect(buckets.look('a')).toMatchObject({ remaining: 2, resetMs: 0 })
})

test('each has a bucket of its own', () => {
  const { buckets } = bucketsOf(1)
  expect(buckets.take('a').isAllowed).toBe(true)
  expect(buckets.take('b').isAllowed).toBe(true)
  expect(buckets.take('a').isAllowed).toBe(false)
})

test('no more than one is allowed than fill up, however the requests are spread', () => {
  const { time, buckets } = bucketsOf(60)
  let allowed = 0
  const seconds = 600
  for (let n = 0; n < seconds * 10; n++) {
    if (buckets.take('a').isAllowed) allowed++
    time.at += 100
  }
  expect(allowed).toBeGreaterThanOrEqual(60 + seconds - 1)
  expect(allowed).toBeLessThanOrEqual(60 + seconds)
})

test('keys that are not used any more are forgotten', () => {
  const { time, buckets } = bucketsOf(100)
  for (let n = 0; n < 10_000; n++) buckets.take(`key ${n}`)
  expect(buckets.size()).toBe(10_000)
  time.at += 60_000
  for (let n = 0; n < 10_000; n++) buckets.take('one that stays')
  expect(buckets.size()).toBe(1)
})

test('as many keys are kept as come within the time that a token takes', () => {
  const { time, buckets } = bucketsOf(60)
  for (let n = 0; n < 50_000; n++) {
    buckets.take(`key ${n}`)
    time.at += 1
  }
  expect(buckets.size()).toBeLessThanOrEqual(1_001)
})

test('of more ids than may be kept, the one that was used longest ago is given up', () => {
  const buckets = createTokenBuckets({ perMinute: 1, most: 100, now: () => 5_000 })
  for (let n = 0; n < 1_000; n++) buckets.take(`${n}`)
  expect(buckets.size()).toBe(100)
  expect([buckets.look('899').isAllowed, buckets.look('900').isAllowed]).toEqual([true, false])
})

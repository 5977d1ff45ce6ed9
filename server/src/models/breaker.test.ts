import { beforeEach, describe, expect, test } from 'vitest'
import { type Admission, type Breaker, createBreaker } from './breaker.ts'

let now: number
let breaker: Breaker

beforeEach(() => {
  now = 0
  breaker = createBreaker({ now: () => now })
})

function enter(): Admission {
  const entered = breaker.enter()
  if ('waitMs' in entered) throw new Error(`kept out for ${entered.waitMs} ms`)
  return entered.admission
}

function failTimes(times: number): void {
  for (let i = 0; i < times; i++) enter().failed()
}

describe('a breaker', () => {
  test('opens with the tenth failure in a row, and not before', () => {
    failTimes(9)
    enter().failed()
    expect(breaker.enter()).toEqual({ waitMs: 15_000 })
    now = 14_000
    expect(breaker.enter()).toEqual({ waitMs: 1_000 })
  })

  test('counts only failures in a row', () => {
    failTimes(9)
    enter().succeeded()
    failTimes(9)
    expect(breaker.enter()).toHaveProperty('admission')
  })

  test('does not count what says nothing about the provider', () => {
    failTimes(9)
    for (let i = 0; i < 5; i++) enter().released()
    expect(breaker.enter()).toHaveProperty('admission')
    failTimes(1)
    expect(breaker.enter()).toHaveProperty('waitMs')
  })

  test('lets one through after a while, and only one', () => {
    failTimes(10)
    now = 15_000
    enter()
    expect(breaker.enter()).toHaveProperty('waitMs')
  })

  test.each([
    ['closes when that one succeeds', (probe: Admission) => probe.succeeded(), 'admission'],
    ['closes as soon as that one is being answered', (probe: Admission) => probe.began(), 'admission'],
    ['opens again when that one fails', (probe: Admission) => probe.failed(), 'waitMs'],
    ['lets another one try when that one was given up', (probe: Admission) => probe.released(), 'admission'],
  ])('%s', (_name, end, expected) => {
    failTimes(10)
    now = 15_000
    end(enter())
    expect(breaker.enter()).toHaveProperty(expected)
  })

  test('starts counting anew after it closed', () => {
    failTimes(10)
    now = 15_000
    enter().succeeded()
    failTimes(9)
    expect(breaker.enter()).toHaveProperty('admission')
  })

  test('is not kept open by requests that were under way when it opened', () => {
    const late = Array.from({ length: 5 }, enter)
    failTimes(10)
    now = 10_000
    for (const one of late) one.failed()
    now = 15_000
    const probe = enter()
    probe.succeeded()
    expect(breaker.enter()).toHaveProperty('admission')
  })
})

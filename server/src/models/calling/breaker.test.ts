import { beforeEach, describe, expect, test } from 'vitest'
import { type Admission, type Breaker, createBreaker } from './breaker.ts'

let now: number
let breaker: Breaker

beforeEach(() => {
  now = 0
  breaker = createBreaker({ now: () => now })
})

const MODEL = 'openai gpt'
/** Two conversations of one key, and those of others. */
const HERE = [MODEL, 'a', 'key', 'one']
const BESIDE = [MODEL, 'a', 'key', 'two']
const OTHER_KEY = [MODEL, 'a', 'other key', 'three']
const ELSEWHERE = [MODEL, 'b', 'their key', 'four']

function enter(path = HERE): Admission {
  const entered = breaker.enter(path)
  if ('waitMs' in entered) throw new Error(`kept out for ${entered.waitMs} ms`)
  return entered.admission
}

function failTimes(times: number, path = HERE): void {
  for (let i = 0; i < times; i++) enter(path).failed()
}

const isShut = (path: string[]) => 'waitMs' in breaker.enter(path)

describe('a breaker', () => {
  test('shuts with the tenth failure in a row, and not before', () => {
    failTimes(9)
    enter().failed()
    expect(breaker.enter(HERE)).toEqual({ waitMs: 15_000 })
    now = 14_000
    expect(breaker.enter(HERE)).toEqual({ waitMs: 1_000 })
  })

  test('counts only failures in a row', () => {
    failTimes(9)
    enter().succeeded()
    failTimes(9)
    expect(breaker.enter(HERE)).toHaveProperty('admission')
  })

  test('does not count what says nothing about the provider', () => {
    failTimes(9)
    for (let i = 0; i < 5; i++) enter().released()
    expect(breaker.enter(HERE)).toHaveProperty('admission')
    failTimes(1)
    expect(breaker.enter(HERE)).toHaveProperty('waitMs')
  })

  test('lets one through after a while, and only one', () => {
    failTimes(10)
    now = 15_000
    enter()
    expect(breaker.enter(HERE)).toHaveProperty('waitMs')
  })

  test.each([
    ['opens when that one succeeds', (probe: Admission) => probe.succeeded(), 'admission'],
    ['opens as soon as that one is being answered', (probe: Admission) => probe.began(), 'admission'],
    ['shuts again when that one fails', (probe: Admission) => probe.failed(), 'waitMs'],
    ['lets another one try when that one was given up', (probe: Admission) => probe.released(), 'admission'],
  ])('%s', (_name, end, expected) => {
    failTimes(10)
    now = 15_000
    end(enter())
    expect(breaker.enter(HERE)).toHaveProperty(expected)
  })

  test('starts counting anew after it opened', () => {
    failTimes(10)
    now = 15_000
    enter().succeeded()
    failTimes(9)
    expect(breaker.enter(HERE)).toHaveProperty('admission')
  })

  test('is not kept shut by requests that were under way when it shut', () => {
    const late = Array.from({ length: 5 }, () => enter())
    failTimes(10)
    now = 10_000
    for (const one of late) one.failed()
    now = 15_000
    const probe = enter()
    probe.succeeded()
    expect(breaker.enter(HERE)).toHaveProperty('admission')
  })
})

describe('whose door it shuts', () => {
  test('that of a conversation that always fails, and no other', () => {
    failTimes(10)
    expect([HERE, BESIDE, OTHER_KEY, ELSEWHERE].map(isShut)).toEqual([true, false, false, false])
  })

  test('that of a key, when two of its conversations fail', () => {
    failTimes(5)
    failTimes(5, BESIDE)
    expect([HERE, BESIDE, [MODEL, 'a', 'key', 'new'], OTHER_KEY, ELSEWHERE].map(isShut)).toEqual([
      ...[true, true, true, false, false],
    ])
  })

  test('that of an organization by two keys, however many conversations one of them has', () => {
    for (let n = 0; n < 40; n++) {
      const path = [MODEL, 'a', 'key', `number ${n}`]
      if (!isShut(path)) failTimes(1, path)
    }
    expect(isShut(OTHER_KEY)).toBe(false)
    failTimes(5, OTHER_KEY)
    expect([[MODEL, 'a', 'third key', 'x'], ELSEWHERE].map(isShut)).toEqual([true, false])
  })

  test('that of everybody when two organizations fail and nobody succeeds', () => {
    for (let n = 0; n < 10; n++) failTimes(1, [MODEL, 'a', `key ${n}`, `number ${n}`])
    expect(isShut(ELSEWHERE)).toBe(false)
    for (let n = 0; n < 5; n++) failTimes(1, [MODEL, 'b', `key ${n}`, `number ${n}`])
    expect(isShut([MODEL, 'c', 'k', 'x'])).toBe(true)
    expect(isShut(['openai other', 'c', 'k', 'x'])).toBe(false)
  })

  test('not that of everybody while somebody else is answered', () => {
    for (let n = 0; n < 8; n++) {
      failTimes(1, [MODEL, 'a', `key ${n}`, `number ${n}`])
      failTimes(1, [MODEL, 'b', `key ${n}`, `number ${n}`])
      enter([MODEL, 'c', 'k', 'x']).succeeded()
    }
    expect(isShut([MODEL, 'c', 'k', 'x'])).toBe(false)
  })

  test('who has tried in vain lets others try first', () => {
    failTimes(5)
    failTimes(5, BESIDE)
    now = 15_000
    enter().failed()
    now = 30_000
    expect(breaker.enter(HERE)).toEqual({ waitMs: 5_000 })
    enter(BESIDE).succeeded()
    expect(isShut(HERE)).toBe(false)
  })

  test('who is alone may try again a little later', () => {
    failTimes(5)
    failTimes(5, BESIDE)
    now = 15_000
    enter().failed()
    now = 35_000
    enter().succeeded()
    expect(isShut(BESIDE)).toBe(false)
  })

  test('is remembered of so many, and no more', () => {
    for (let n = 0; n < 12_000; n++) enter([`model ${n}`, 'a', 'key', 'one']).failed()
    expect(isShut(HERE)).toBe(false)
  })
})

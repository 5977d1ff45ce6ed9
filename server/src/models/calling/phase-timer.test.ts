import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { createPhaseTimer, type Phase } from './phase-timer.ts'

beforeEach(() => {
  vi.useFakeTimers()
})
afterEach(() => {
  vi.useRealTimers()
})

function watch(totalMs = 10_000) {
  const ended: { phase: Phase; at: number }[] = []
  const startedAt = Date.now()
  const timer = createPhaseTimer({
    timeouts: { firstTokenMs: 600, betweenTokensMs: 300 },
    deadline: startedAt + totalMs,
    now: Date.now,
    onTimeout: (phase) => ended.push({ phase, at: Date.now() - startedAt }),
  })
  return { timer, ended }
}

describe('the timer of a call', () => {
  test('ends the wait for the first token', () => {
    const { ended } = watch()
    vi.advanceTimersByTime(599)
    expect(ended).toEqual([])
    vi.advanceTimersByTime(10_000)
    expect(ended).toEqual([{ phase: 'firstToken', at: 600 }])
  })

  test('ends a silence after the last token, not after the first', () => {
    const { timer, ended } = watch()
    for (let i = 0; i < 10; i++) {
      vi.advanceTimersByTime(200)
      timer.token()
    }
    vi.advanceTimersByTime(10_000)
    expect(ended).toEqual([{ phase: 'betweenTokens', at: 2_300 }])
  })

  test('notices that the second phase is shorter than the first', () => {
    const { timer, ended } = watch()
    vi.advanceTimersByTime(10)
    timer.token()
    vi.advanceTimersByTime(10_000)
    expect(ended).toEqual([{ phase: 'betweenTokens', at: 310 }])
  })

  test('ends a turn that never falls silent', () => {
    const { timer, ended } = watch(1_000)
    for (let i = 0; i < 20 && ended.length === 0; i++) {
      vi.advanceTimersByTime(100)
      timer.token()
    }
    expect(ended).toEqual([{ phase: 'total', at: 1_000 }])
  })

  test('is one timer, however many tokens there are', () => {
    const { timer } = watch()
    for (let i = 0; i < 1_000; i++) timer.token()
    expect(vi.getTimerCount()).toBe(1)
    timer.stop()
    expect(vi.getTimerCount()).toBe(0)
  })
})

import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { RawStream } from './raw-stream.ts'
import { pingWhileQuiet, sseEvent } from './sse.ts'

beforeEach(() => {
  vi.useFakeTimers()
})
afterEach(() => {
  vi.useRealTimers()
})

function watch() {
  const pings: number[] = []
  const startedAt = Date.now()
  const stream = {
    write(piece: string) {
      expect(piece).toBe(': ping\n\n')
      pings.push(Date.now() - startedAt)
      return true
    },
  } as RawStream
  return { pings, pinger: pingWhileQuiet(stream, Date.now, 1_000) }
}

test('an event is its lines and an empty one', () => {
  expect(sseEvent('{}')).toBe('data: {}\n\n')
  expect(sseEvent('{}', { id: 'a:1', event: 'error' })).toBe('id: a:1\nevent: error\ndata: {}\n\n')
})

test('a silent stream is kept awake', () => {
  const { pings, pinger } = watch()
  vi.advanceTimersByTime(3_500)
  expect(pings).toEqual([1_000, 2_000, 3_000])
  pinger.stop()
  vi.advanceTimersByTime(10_000)
  expect(pings).toHaveLength(3)
})

test('one that is written to needs no ping until it falls silent', () => {
  const { pings, pinger } = watch()
  for (let i = 0; i < 40; i++) {
    vi.advanceTimersByTime(100)
    pinger.wrote()
  }
  expect(pings).toEqual([])
  vi.advanceTimersByTime(1_500)
  expect(pings).toEqual([5_000])
})

test('takes one timer, however much is written', () => {
  const made = vi.spyOn(globalThis, 'setTimeout')
  const { pinger } = watch()
  for (let i = 0; i < 1_000; i++) pinger.wrote()
  expect(made).toHaveBeenCalledTimes(1)
  pinger.stop()
  expect(vi.getTimerCount()).toBe(0)
})

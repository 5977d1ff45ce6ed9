import { expect, test } from 'vitest'
import { isEnded, nextStatus, type RunEvent, type RunStatus } from './turn-state.ts'

const EVENTS: RunEvent[] = ['start', 'complete', 'fail', 'cancel', 'interrupt']

test('a run that has ended stays as it is', () => {
  for (const status of ['completed', 'failed', 'cancelled', 'interrupted'] satisfies RunStatus[]) {
    expect(isEnded(status)).toBe(true)
    for (const event of EVENTS) expect(() => nextStatus(status, event)).toThrow(status)
  }
})

test('every way through ends', () => {
  expect(nextStatus('accepted', 'start')).toBe('running')
  expect(EVENTS.slice(1).map((event) => nextStatus('running', event))).toEqual([
    'completed',
    'failed',
    'cancelled',
    'interrupted',
  ])
  expect(isEnded('accepted') || isEnded('running')).toBe(false)
})

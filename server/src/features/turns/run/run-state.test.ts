import { expect, test } from 'vitest'
import { isEnded, nextStatus, type RunEvent, type RunStatus } from './run-state.ts'

const EVENTS: RunEvent[] = ['start', 'wait', 'resume', 'complete', 'fail', 'cancel', 'interrupt']
const ENDS: RunStatus[] = ['completed', 'failed', 'cancelled', 'interrupted']

test('a run that has ended stays as it is', () => {
  for (const status of ENDS) {
    expect(isEnded(status)).toBe(true)
    for (const event of EVENTS) expect(() => nextStatus(status, event)).toThrow(status)
  }
})

test('every way through ends', () => {
  expect(nextStatus('accepted', 'start')).toBe('running')
  expect(EVENTS.slice(3).map((event) => nextStatus('running', event))).toEqual(ENDS)
  for (const status of ['accepted', 'running', 'waiting'] satisfies RunStatus[]) {
    expect(isEnded(status)).toBe(false)
    expect(EVENTS.slice(4).map((event) => nextStatus(status, event))).toEqual(ENDS.slice(1))
  }
})

test('a run waits and goes on, and completes only while it runs', () => {
  expect(nextStatus('running', 'wait')).toBe('waiting')
  expect(nextStatus('waiting', 'resume')).toBe('running')
  expect(() => nextStatus('waiting', 'complete')).toThrow(/waiting cannot complete/)
  expect(() => nextStatus('accepted', 'wait')).toThrow(/accepted cannot wait/)
})

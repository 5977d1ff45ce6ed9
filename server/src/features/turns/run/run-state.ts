/** What a run can be. `accepted` waits for its place, `waiting` for an approval; the last four are for ever. */
export type RunStatus = 'accepted' | 'running' | 'waiting' | 'completed' | 'failed' | 'cancelled' | 'interrupted'

/**
 * What can happen to a run: its model is called, answers, or fails; it has to wait for an approval, and goes on; somebody
 * cancels it; the server stops or dies.
 */
export type RunEvent = 'start' | 'wait' | 'resume' | 'complete' | 'fail' | 'cancel' | 'interrupt'

/** Nothing can happen any more. */
const ENDED = { start: null, wait: null, resume: null, complete: null, fail: null, cancel: null, interrupt: null }
/** Whatever a run is doing, it can end badly. */
const BADLY = { fail: 'failed', cancel: 'cancelled', interrupt: 'interrupted' } as const

/** Where each event leads from each status; null where it cannot happen. Complete, so that a new status must be thought through. */
const TRANSITIONS: Record<RunStatus, Record<RunEvent, RunStatus | null>> = {
  accepted: { start: 'running', wait: null, resume: null, complete: null, ...BADLY },
  running: { start: null, wait: 'waiting', resume: null, complete: 'completed', ...BADLY },
  waiting: { start: null, wait: null, resume: 'running', complete: null, ...BADLY },
  completed: ENDED,
  failed: ENDED,
  cancelled: ENDED,
  interrupted: ENDED,
}

/** The status after `event`. Throws when the event cannot happen there: a fault of ours. */
export function nextStatus(status: RunStatus, event: RunEvent): RunStatus {
  const next = TRANSITIONS[status][event]
  if (next === null) throw new Error(`a run that is ${status} cannot ${event}`)
  return next
}

/** Whether nothing more can happen. */
export function isEnded(status: RunStatus): boolean {
  return Object.values(TRANSITIONS[status]).every((next) => next === null)
}

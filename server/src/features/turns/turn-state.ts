/** What a run can be. `accepted` waits for its place; the last four are for ever. */
export type RunStatus = 'accepted' | 'running' | 'completed' | 'failed' | 'cancelled' | 'interrupted'

/** What can happen to a run: its model is called, answers, or fails; somebody cancels it; the server stops or dies. */
export type RunEvent = 'start' | 'complete' | 'fail' | 'cancel' | 'interrupt'

/** Where each event leads from each status; null where it cannot happen. Complete, so that a new status must be thought through. */
const TRANSITIONS: Record<RunStatus, Record<RunEvent, RunStatus | null>> = {
  accepted: { start: 'running', complete: null, fail: 'failed', cancel: 'cancelled', interrupt: 'interrupted' },
  running: { start: null, complete: 'completed', fail: 'failed', cancel: 'cancelled', interrupt: 'interrupted' },
  completed: { start: null, complete: null, fail: null, cancel: null, interrupt: null },
  failed: { start: null, complete: null, fail: null, cancel: null, interrupt: null },
  cancelled: { start: null, complete: null, fail: null, cancel: null, interrupt: null },
  interrupted: { start: null, complete: null, fail: null, cancel: null, interrupt: null },
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

import { toRunDto } from '../turns/routes/run-wire.ts'
import type { Run } from '../turns/run/run.ts'

/** A run as a user gets to see it: what it was about and what it cost, without attempts, errors and their like. */
export function toRunLine(run: Run): object {
  const {
    attempts: _attempts,
    error: _error,
    restarts: _restarts,
    timeToFirstTokenMs: _first,
    ...fields
  } = toRunDto(run)
  return { type: 'run', ...fields }
}

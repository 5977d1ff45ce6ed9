import type { ModelError } from '../model-error.ts'
import type { TurnTimeouts } from '../settings.ts'
import { PhaseTimeoutError } from './attempt.ts'

/** Nobody else needs to be asked. */
export function isFinal(error: ModelError): boolean {
  return (
    error.kind === 'aborted' ||
    error.kind === 'unaffordable' ||
    (error instanceof PhaseTimeoutError && error.phase === 'total')
  )
}

/**
 * Whether a failure counts for the breaker: only what says that the provider is ill. A timeout does if the server's own
 * would have come as well, and not if a caller has set a shorter one. The rehearsal fails because a script says so, and a
 * local model is late because others are before it in its queue.
 */
export function isOutage(error: ModelError, timeouts: TurnTimeouts, usual: TurnTimeouts): boolean {
  if (error.aiSystem === 'rehearsal' || error.aiSystem === 'local') return false
  if (!(error instanceof PhaseTimeoutError)) return error.isOutage
  if (error.phase === 'total') return false
  const phase = error.phase === 'firstToken' ? 'firstTokenMs' : 'betweenTokensMs'
  return timeouts[phase] >= usual[phase]
}

/** Milliseconds each phase of a call may take. */
export type PhaseTimeouts = { firstTokenMs: number; betweenTokensMs: number }

export type Phase = 'firstToken' | 'betweenTokens' | 'total'

export type PhaseTimerOptions = {
  timeouts: PhaseTimeouts
  /** When the whole turn has to be over, on the clock of `now`. */
  deadline: number
  /** Milliseconds that only ever grow. */
  now: () => number
  /** Called at most once. */
  onTimeout(phase: Phase): void
}

export type PhaseTimer = {
  /** Something came. */
  token(): void
  stop(): void
}

/**
 * Watches over the phases of one call with a single timer: a token only notes the time, and the timer, when it fires too
 * early because of that, sets itself again.
 */
export function createPhaseTimer({ timeouts, deadline, now, onTimeout }: PhaseTimerOptions): PhaseTimer {
  let silentSince = now()
  let hasBegun = false
  let timer = arm()

  function phaseEnd(): number {
    return silentSince + (hasBegun ? timeouts.betweenTokensMs : timeouts.firstTokenMs)
  }

  function arm(): NodeJS.Timeout {
    return setTimeout(check, Math.max(1, Math.ceil(Math.min(phaseEnd(), deadline) - now())))
  }

  function check(): void {
    const time = now()
    if (time >= deadline) onTimeout('total')
    else if (time >= phaseEnd()) onTimeout(hasBegun ? 'betweenTokens' : 'firstToken')
    else timer = arm()
  }

  return {
    token() {
      silentSince = now()
      if (hasBegun) return
      hasBegun = true
      // The one time that the end may have moved nearer.
      clearTimeout(timer)
      timer = arm()
    },
    stop: () => clearTimeout(timer),
  }
}

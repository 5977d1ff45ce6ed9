/** Failures in a row after which a provider is left alone. */
const FAILURES_TO_OPEN = 10

/** Milliseconds for which it is. */
const OPEN_MS = 15_000

/** Milliseconds that others are told to wait while one request tries whether it is back. */
const PROBE_WAIT_MS = 1_000

export type BreakerOptions = {
  failuresToOpen?: number
  openMs?: number
  /** Milliseconds that only ever grow. */
  now?: () => number
}

/** One admitted request. Exactly one of `succeeded`, `failed` and `released` has to be called at its end. */
export type Admission = {
  /** The provider has begun to answer, which is enough to know that it is back. */
  began(): void
  succeeded(): void
  failed(): void
  /** It ended without saying anything about the provider: aborted, or a request that was wrong in itself. */
  released(): void
}

export type Breaker = {
  /** Milliseconds to wait when the provider must not be asked. */
  enter(): { admission: Admission } | { waitMs: number }
}

/**
 * Keeps requests from a provider that is down, so that they go to the fallbacks at once. Opens after some failures in a
 * row; after a while one request is let through, and what becomes of it decides.
 */
export function createBreaker(options: BreakerOptions = {}): Breaker {
  const { failuresToOpen = FAILURES_TO_OPEN, openMs = OPEN_MS, now = () => performance.now() } = options
  let failuresInARow = 0
  let openedAt: number | null = null
  let isProbing = false

  function close(): void {
    failuresInARow = 0
    openedAt = null
  }

  function admit(asProbe: boolean): Admission {
    let isProbe = asProbe
    const endProbe = () => {
      if (isProbe) isProbing = false
      isProbe = false
    }
    return {
      began() {
        if (!isProbe) return
        endProbe()
        close()
      },
      succeeded() {
        endProbe()
        close()
      },
      failed() {
        failuresInARow++
        // Requests that were under way when it opened say nothing new.
        if (isProbe || (openedAt === null && failuresInARow >= failuresToOpen)) openedAt = now()
        endProbe()
      },
      released: endProbe,
    }
  }

  return {
    enter() {
      if (openedAt === null) return { admission: admit(false) }
      const waitMs = openedAt + openMs - now()
      if (waitMs > 0) return { waitMs: Math.ceil(waitMs) }
      if (isProbing) return { waitMs: PROBE_WAIT_MS }
      isProbing = true
      return { admission: admit(true) }
    },
  }
}

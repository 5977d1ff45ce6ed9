import { AppError } from '../../errors.ts'

/** Gives a place among the turns under way back. */
export type Leave = () => void
export type TurnLimits = ReturnType<typeof createTurnLimits>

/** Milliseconds: places become free all the time. */
const RETRY_AFTER_MS = 1_000

/**
 * Counts the turns under way in this process, those that wait in a line included, and refuses more of one API key, or of
 * all together, than there may be. A place is taken before anything is written, so that turns that come at the same
 * time cannot all find the last one free.
 */
export function createTurnLimits(options: { perKey: number; inAll: number }) {
  const { perKey, inAll } = options
  const countOfKey = new Map<string, number>()
  let count = 0
  let isClosed = false

  function refusal(keyId: string): AppError | null {
    if (isClosed) {
      const message = 'the server is stopping, and takes no new turns'
      return new AppError('unavailable', message, { refusedBy: 'stopping', retryAfterMs: RETRY_AFTER_MS })
    }
    if (count >= inAll) {
      return new AppError('unavailable', `the server is busy with ${inAll} turns, which are as many as it may run`, {
        ...{ refusedBy: 'running_turns', retryAfterMs: RETRY_AFTER_MS },
      })
    }
    if ((countOfKey.get(keyId) ?? 0) < perKey) return null
    return new AppError(
      'rate_limited',
      `this API key has ${perKey} turns under way, which are as many as it may have`,
      {
        ...{ refusedBy: 'running_turns_of_key', retryAfterMs: RETRY_AFTER_MS },
        quota: { limit: perKey, remaining: 0, resetMs: RETRY_AFTER_MS },
      },
    )
  }

  /** Takes a place even if there is none: for turns that had one before. `keyId` is null where nobody knows it any more. */
  function occupy(keyId: string | null): Leave {
    const change = (by: 1 | -1) => {
      count += by
      if (keyId === null) return
      const after = (countOfKey.get(keyId) ?? 0) + by
      if (after === 0) countOfKey.delete(keyId)
      else countOfKey.set(keyId, after)
    }
    let hasLeft = false
    change(1)
    return () => {
      if (!hasLeft) change(-1)
      hasLeft = true
    }
  }

  return {
    occupy,

    /** Takes a place. Throws 429 when the key has as many turns as it may, 503 when the process has. */
    enter(keyId: string): Leave {
      const refused = refusal(keyId)
      if (refused) throw refused
      return occupy(keyId)
    },

    /** From now on there is no place for any new turn: the server stops. */
    close(): void {
      isClosed = true
    },

    /** How many places are taken. */
    count: (): number => count,
  }
}

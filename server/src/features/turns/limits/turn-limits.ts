import { AppError } from '../../../errors.ts'
import { createFairPlaces, type Holder, type Obstacle } from '../../../lib/fairness/fair-places.ts'

/** The place of one turn among those under way. */
export type Place = {
  /** Gives it to others while the turn waits for a person; it is kept when too many of its key or organization wait. */
  pause(): void
  /** Takes one again, even if there is none. */
  resume(): void
  leave(): void
}
export type TurnLimits = ReturnType<typeof createTurnLimits>

/** Milliseconds: places become free all the time. */
const RETRY_AFTER_MS = 1_000

/**
 * Counts the turns under way in this process, those that wait in a line included, and refuses more of one API key, of one
 * organization, or of all together, than there may be. A place is taken before anything is written, so that turns that come
 * at the same time cannot all find the last one free. Those that wait for an approval are counted apart, up to the same
 * numbers: they may wait for an hour.
 */
export function createTurnLimits(options: { perKey: number; inAll: number; isShared?: () => boolean }) {
  const running = createFairPlaces(options)
  const waiting = createFairPlaces(options)
  let isClosed = false

  /** Takes a place even if there is none: for turns that had one before. */
  function occupy(holder: Holder): Place {
    let isOver = false
    let giveBack = running.occupy(holder)
    let isPaused = false
    const change = (places: typeof running) => {
      giveBack()
      giveBack = places.occupy(holder)
      isPaused = places === waiting
    }
    return {
      pause() {
        if (!isOver && !isPaused && waiting.obstacle(holder) === null) change(waiting)
      },
      resume() {
        if (!isOver && isPaused) change(running)
      },
      leave() {
        isOver = true
        giveBack()
      },
    }
  }

  return {
    occupy,

    /**
     * Takes a place. Throws 429 when the key or the organization has as many turns as it may, 503 when the process has.
     */
    enter(holder: Holder): Place {
      const obstacle = isClosed ? 'closed' : running.obstacle(holder)
      if (obstacle) throw refusal(obstacle)
      return occupy(holder)
    },

    /** From now on there is no place for any new turn: the server stops. */
    close(): void {
      isClosed = true
    },

    /** How many places are taken. */
    count: (): number => running.count(),

    /** How many turns wait for an approval and have given their place to others. */
    waiting: (): number => waiting.count(),
  }
}

function refusal(obstacle: Obstacle | 'closed'): AppError {
  if (obstacle === 'closed') {
    const message = 'the server is stopping, and takes no new turns'
    return new AppError('unavailable', message, { refusedBy: 'stopping', retryAfterMs: RETRY_AFTER_MS })
  }
  const { limit, most } = obstacle
  if (limit === 'all') {
    const message = `the server is busy with ${most} turns, which are as many as it may run`
    return new AppError('unavailable', message, { refusedBy: 'running_turns', retryAfterMs: RETRY_AFTER_MS })
  }
  const [whose, refusedBy] =
    limit === 'key'
      ? ['this API key has', 'running_turns_of_key']
      : ['this organization has', 'running_turns_of_organization']
  const message = `${whose} ${most} turns under way, which are as many as it may have`
  const quota = { limit: most, remaining: 0, resetMs: RETRY_AFTER_MS }
  return new AppError('rate_limited', message, { refusedBy, retryAfterMs: RETRY_AFTER_MS, quota })
}

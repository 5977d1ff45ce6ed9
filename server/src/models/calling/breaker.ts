/** Failures in a row after which a door is shut. */
const FAILURES_TO_SHUT = 10

/** How many of them may come through one door further in: what only one caller meets is no outage. */
const MOST_OF_ONE = FAILURES_TO_SHUT / 2

/** Milliseconds for which it stays shut. */
const SHUT_MS = 15_000

/** Milliseconds that others are told to wait while one request tries whether the provider is back. */
const PROBE_WAIT_MS = 1_000

/** Milliseconds that whoever has tried in vain lets others try first: it may be the request that is at fault. */
const OTHERS_FIRST_MS = 5_000

/** Doors that are remembered; beyond that the one that failed longest ago is forgotten, which costs one request. */
const MOST_DOORS = 10_000

export type BreakerOptions = {
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
  /**
   * `path` says whom to ask, and for whom: the model of an account, then the organization, the key, the conversation.
   * Gives the milliseconds to wait when the provider must not be asked.
   */
  enter(path: readonly string[]): { admission: Admission } | { waitMs: number }
}

type Door = {
  failures: number
  shutAt: number | null
  isProbing: boolean
  /** Whose probe has failed: the door further in that it came through. */
  lastProbe: string | null
}

const NO_DOORS: ReadonlyMap<string, Door> = new Map()

/** The doors that a path leads through, from the first on. */
function namesOf(path: readonly string[]): string[] {
  return path.map((_, i) => path.slice(0, i + 1).join(' '))
}

/**
 * Keeps requests from a provider that is down, so that they go to the fallbacks at once. A request passes a door for each
 * step of its path, and each is shut by ten failures in a row, of which half at most may have come through the same door
 * further in. So a conversation whose requests always fail shuts its own door; that of its key is shut by two of them, that
 * of an organization by two keys, that of a model for everybody by two organizations. After a while one request is let
 * through, and what becomes of it decides.
 */
export function createBreaker({ now = () => performance.now() }: BreakerOptions = {}): Breaker {
  /** Those behind which something has failed since the last success, by their whole path; the oldest first. */
  const doors = new Map<string, Door>()

  function failAt(name: string): Door {
    const door = doors.get(name) ?? { failures: 0, shutAt: null, isProbing: false, lastProbe: null }
    doors.delete(name)
    doors.set(name, door)
    door.failures++
    if (doors.size > MOST_DOORS) doors.delete(doors.keys().next().value as string)
    return door
  }

  /** Milliseconds until this door lets somebody through who comes by way of the one further in. */
  function waitAt({ shutAt, isProbing, lastProbe }: Door, inner: string | undefined): number {
    if (shutAt === null) return 0
    const waitMs = shutAt + SHUT_MS - now()
    if (waitMs > 0) return waitMs
    if (isProbing) return PROBE_WAIT_MS
    return lastProbe !== null && lastProbe === inner ? Math.max(0, waitMs + OTHERS_FIRST_MS) : 0
  }

  function admit(path: readonly string[], probed: ReadonlyMap<string, Door>): Admission {
    const endProbe = () => {
      for (const door of probed.values()) door.isProbing = false
    }
    const open = () => {
      endProbe()
      // As long as all is well there are none, and nobody needs their names.
      if (doors.size > 0) for (const name of namesOf(path)) doors.delete(name)
    }
    return {
      began() {
        if (probed.size > 0) open()
      },
      succeeded: open,
      failed() {
        endProbe()
        const names = namesOf(path)
        let doesCount = true
        for (const [depth, name] of [...names.entries()].reverse()) {
          const isProbe = probed.has(name) && doors.get(name) === probed.get(name)
          if (!doesCount && !isProbe) continue
          const door = failAt(name)
          if (isProbe) door.lastProbe = names[depth + 1] ?? null
          // Requests that were under way when it was shut say nothing new.
          if (isProbe || (door.shutAt === null && door.failures >= FAILURES_TO_SHUT)) door.shutAt = now()
          doesCount &&= door.failures <= MOST_OF_ONE
        }
      },
      released: endProbe,
    }
  }

  return {
    enter(path) {
      if (doors.size === 0) return { admission: admit(path, NO_DOORS) }
      const names = namesOf(path)
      const known = names.map((name) => doors.get(name))
      const waitMs = Math.max(0, ...known.map((door, i) => (door ? waitAt(door, names[i + 1]) : 0)))
      if (waitMs > 0) return { waitMs: Math.ceil(waitMs) }
      const probed = new Map<string, Door>()
      for (const [i, door] of known.entries()) {
        if (!door || door.shutAt === null) continue
        door.isProbing = true
        probed.set(names[i] as string, door)
      }
      return { admission: admit(path, probed) }
    },
  }
}

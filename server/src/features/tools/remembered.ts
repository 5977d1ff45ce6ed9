import type { Clock } from '../../lib/clock.ts'

/** A few values for a short time; the oldest go first. */
export function createRemembered<T>(clock: Clock, { lifetimeMs, most }: { lifetimeMs: number; most: number }) {
  const entries = new Map<string, { value: T; at: number }>()
  return {
    get(key: string): T | undefined {
      const entry = entries.get(key)
      return entry && clock() - entry.at < lifetimeMs ? entry.value : undefined
    },
    set(key: string, value: T): void {
      entries.delete(key)
      entries.set(key, { value, at: clock() })
      for (const oldest of entries.keys()) {
        if (entries.size <= most) break
        entries.delete(oldest)
      }
    },
  }
}

/** What waits, by who it is for. Whoever was served goes behind all others. */
export function createFairLine<T>(mostOfEach: number) {
  const waiting = new Map<string, T[]>()

  return {
    /** False if so many of this owner wait already that one more is refused. */
    add(owner: string, one: T): boolean {
      const mine = waiting.get(owner)
      if (!mine) waiting.set(owner, [one])
      else if (mine.length >= mostOfEach) return false
      else mine.push(one)
      return true
    },
    /** The next of the first owner that may be served. */
    take(mayBeServed: (owner: string) => boolean): { owner: string; one: T } | null {
      for (const [owner, mine] of waiting) {
        if (!mayBeServed(owner)) continue
        const one = mine.shift() as T
        waiting.delete(owner)
        if (mine.length > 0) waiting.set(owner, mine)
        return { owner, one }
      }
      return null
    },
    takeAll(): T[] {
      const all = [...waiting.values()].flat()
      waiting.clear()
      return all
    },
  }
}

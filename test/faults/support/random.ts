/** Chance that can be had again: the same seed gives the same sequence. */
export type Random = {
  /** From `least` to `most`, both included. */
  integer(least: number, most: number): number
  /** True in so many of a hundred cases. */
  chance(percent: number): boolean
  pick<T>(from: readonly [T, ...T[]]): T
}

/** mulberry32: 32 bits of state, and good enough to choose where to strike. */
export function createRandom(seed: number): Random {
  let state = seed >>> 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  return {
    integer: (least, most) => least + Math.floor(next() * (most - least + 1)),
    chance: (percent) => next() * 100 < percent,
    pick: (from) => from[Math.floor(next() * from.length)] ?? from[0],
  }
}

/** The seed that DRAMATIS_TEST_SEED names, else another one each time. */
export function chooseSeed(): number {
  const given = process.env['DRAMATIS_TEST_SEED']
  return given ? Number(given) : Math.floor(Math.random() * 2 ** 31)
}

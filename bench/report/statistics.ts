/** The value below which a share `p` (0 to 1) of the values lies, by nearest rank. NaN without values. */
export function percentile(values: readonly number[], p: number): number {
  const sorted = Float64Array.from(values).sort()
  return sorted[Math.max(0, Math.ceil(p * sorted.length) - 1)] ?? Number.NaN
}

/** The middle value, or the mean of the two in the middle. NaN without values. */
export function median(values: readonly number[]): number {
  const sorted = Float64Array.from(values).sort()
  const middle = sorted.length >> 1
  const upper = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2
}

/** A median with the smallest and the largest value. */
export type Spread = { median: number; min: number; max: number; n: number }

/** Null without values. What is not a number does not count. */
export function spreadOf(values: readonly (number | null | undefined)[]): Spread | null {
  const known = values.filter((value) => typeof value === 'number' && Number.isFinite(value)) as number[]
  if (known.length === 0) return null
  return { median: median(known), min: Math.min(...known), max: Math.max(...known), n: known.length }
}

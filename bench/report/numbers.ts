/** A number with about three digits that count, as people read it: 27,900, 0.351, 4.6. */
export function numberText(value: number): string {
  if (!Number.isFinite(value)) return '-'
  const size = Math.abs(value)
  if (size >= 100) return Number(value.toPrecision(3)).toLocaleString('en-US')
  if (size >= 10) return value.toFixed(1).replace(/\.0$/, '')
  if (size >= 1) return value.toFixed(2).replace(/\.?0+$/, '')
  return value === 0 ? '0' : String(Number(value.toFixed(Math.min(4, 1 - Math.floor(Math.log10(size))))))
}

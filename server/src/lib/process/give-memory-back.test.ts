import { getHeapStatistics } from 'node:v8'
import { expect, test } from 'vitest'
import { giveMemoryBack } from './give-memory-back.ts'

const MEGABYTE = 1024 * 1024

test('what is no longer used leaves the heap, and no collector stays behind', () => {
  const before = globalThis.gc
  const heap = () => getHeapStatistics().total_physical_size
  giveMemoryBack()
  const empty = heap()
  let texts: number[][] | null = Array.from({ length: 100_000 }, (_, n) => [n, n, n, n, n, n, n, n])
  expect(texts.length).toBe(100_000)
  expect(heap()).toBeGreaterThan(empty + 8 * MEGABYTE)
  texts = null
  giveMemoryBack()
  expect(heap()).toBeLessThan(empty + 4 * MEGABYTE)
  expect(globalThis.gc).toBe(before)
})

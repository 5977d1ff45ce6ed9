import { constants, type PerformanceEntry, PerformanceObserver } from 'node:perf_hooks'
import { expect, test } from 'vitest'
import { collectYoung } from './collect-young.ts'

type Collection = PerformanceEntry & { detail: { kind: number; flags: number } }

test('collects the young garbage, and leaves no collector behind', async () => {
  const before = globalThis.gc
  const kind = new Promise<number>((resolve) => {
    const observer = new PerformanceObserver((list) => {
      for (const entry of list.getEntries() as Collection[]) {
        if ((entry.detail.flags & constants.NODE_PERFORMANCE_GC_FLAGS_FORCED) === 0) continue
        observer.disconnect()
        resolve(entry.detail.kind)
      }
    })
    observer.observe({ entryTypes: ['gc'] })
  })
  collectYoung()
  expect(await kind).toBe(constants.NODE_PERFORMANCE_GC_MINOR)
  expect(globalThis.gc).toBe(before)
})

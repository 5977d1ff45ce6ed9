import { setTimeout as wait } from 'node:timers/promises'
import { expect, test } from 'vitest'
import {
  createYoungLimit,
  isYoungSizeStated,
  LARGE,
  limitYoungGeneration,
  SMALL,
  youngSize,
} from './young-generation.ts'

/** Collections every `everyMs` for a while, and what the last of them allowed. */
function after(limit: ReturnType<typeof createYoungLimit>, from: number, ms: number, everyMs: number): number {
  let allowed = 0
  for (let at = from; at <= from + ms; at += everyMs) allowed = limit({ at, size: SMALL })
  return allowed
}

test('only what lasts lets it become large, and it goes back', () => {
  const limit = createYoungLimit()
  // 8 MB every 10 ms, as when many streams are opened at once.
  expect(after(limit, 10_000, 1_500, 10)).toBe(SMALL)
  expect(after(limit, 12_000, 6_000, 10)).toBe(LARGE)
  expect(after(limit, 20_000, 6_000, 500)).toBe(SMALL)
})

/** Not all at once: the limit is looked at between two collections. */
async function makeWhatSurvives(): Promise<void> {
  const kept: unknown[] = []
  for (let round = 0; round < 60; round++) {
    for (let n = 0; n < 10_000; n++) kept.push({ n, list: [n, n + 1] })
    await wait(5)
  }
  expect(kept.length).toBe(600_000)
}

test('what survives does not make it grow beyond the limit', async () => {
  const stop = limitYoungGeneration()
  try {
    await makeWhatSurvives()
    expect(youngSize()).toBeLessThanOrEqual(SMALL)
  } finally {
    stop()
  }
})

test('without a limit it does', async () => {
  await makeWhatSurvives()
  expect(youngSize()).toBeGreaterThan(SMALL)
})

test.each([
  [['--max-semi-space-size=64'], true],
  [['--enable-source-maps', '--semi_space_growth_factor=3'], true],
  [['--cpu-prof', '--max-old-space-size=512'], false],
  [[], false],
])('what an operator has said with %j stays as it is', (options, isStated) => {
  expect(isYoungSizeStated(options)).toBe(isStated)
})

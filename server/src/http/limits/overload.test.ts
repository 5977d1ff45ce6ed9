import { setTimeout as wait } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { watchLoad } from './overload.ts'

const LIMIT_MS = 300

function block(ms: number): void {
  for (const until = performance.now() + ms; performance.now() < until; );
}

test.each([
  ['is a delay', false, true],
  ['is none when it is excused', true, false],
])('what stops everything for a moment %s', async (_, isExcused, isBehind) => {
  const load = watchLoad(LIMIT_MS)
  try {
    // The first second is that of starting.
    await wait(1_100)
    let wasBehind = false
    if (isExcused) load.excuse(() => block(2 * LIMIT_MS))
    else block(2 * LIMIT_MS)
    for (let looks = 0; looks < 25; looks++) {
      await wait(50)
      wasBehind ||= load.isBehind()
    }
    expect(wasBehind).toBe(isBehind)
  } finally {
    load.stop()
  }
})

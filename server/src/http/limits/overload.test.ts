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
    const wasBehind = async () => {
      if (isExcused) load.excuse(() => block(2 * LIMIT_MS))
      else block(2 * LIMIT_MS)
      let was = false
      for (let looks = 0; looks < 25; looks++) {
        await wait(50)
        was ||= load.isBehind()
      }
      return was
    }
    // A busy machine has delays of its own, but not each time.
    let was = await wasBehind()
    for (let tries = 1; tries < 8 && was !== isBehind; tries++) was = await wasBehind()
    expect(was).toBe(isBehind)
  } finally {
    load.stop()
  }
})

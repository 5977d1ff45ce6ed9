import { type Repeated, repeat } from '../../lib/repeat.ts'
import type { Archiver } from './archiver.ts'

/** Milliseconds between rounds. */
const ROUND_EVERY_MS = 60_000

type Log = { info(fields: object, message: string): void; warn(fields: object, message: string): void }

/** Archives in the background, a round at a time; `stop` waits for the segment that is being written, and no longer. */
export function lookAfterArchive(deps: { archiver: Pick<Archiver, 'round'>; log: Log }): Repeated {
  const { archiver, log } = deps
  const warn = (error: unknown) => log.warn({ err: error }, 'archiving failed; it will be tried again')
  let isStopping = false
  const rounds = repeat(
    async () => {
      const done = await archiver.round(() => isStopping)
      if (done.segments + done.sweptBlobs > 0) log.info(done, 'older messages have been archived')
    },
    ROUND_EVERY_MS,
    warn,
  )
  return {
    stop() {
      isStopping = true
      return rounds.stop()
    },
  }
}

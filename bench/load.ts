import { create, history, turns } from './load/closed-loop.ts'
import type { Job, Measured, Report, Request } from './load/jobs.ts'
import { mixed } from './load/mixed.ts'
import { probe } from './load/probe.ts'
import { openStreams } from './load/streams.ts'
import { createWorld } from './load/world.ts'
import type { Wire } from './wire/call.ts'

/**
 * The users of a benchmark, in a process of its own that is told by messages what to do, one job at a time. Its one
 * argument is the `Wire` of the server, as JSON.
 */

const world = createWorld(JSON.parse(process.argv[2] ?? 'null') as Wire)

type Events = { onMeasuring: () => void; onSlice: (slice: Measured) => void }

process.on('message', async ({ id, job }: Request) => {
  const report = (message: Report) => process.send?.(message)
  const events: Events = {
    onMeasuring: () => report({ id, event: 'measuring' }),
    onSlice: (slice) => report({ id, event: 'slice', slice }),
  }
  try {
    report({ id, result: await perform(job, events) })
  } catch (error) {
    report({ id, error: error instanceof Error ? error.message : String(error) })
  }
})
// Whoever has started it is gone.
process.on('disconnect', () => process.exit(0))

function perform(job: Job, { onMeasuring, onSlice }: Events): Promise<Measured> {
  switch (job.kind) {
    case 'create':
      return create(world, job, onMeasuring)
    case 'turns':
      return turns(world, job, onMeasuring)
    case 'history':
      return history(world, job, onMeasuring)
    case 'probe':
      return probe(world, job)
    case 'streams':
      return openStreams(world, job)
    case 'mixed':
      return mixed(world, job, onSlice)
  }
}

import { connect } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'
import { createPrinter } from '../wire/call.ts'
import { summarize } from './drive.ts'
import type { JobOf, Measured } from './jobs.ts'
import type { World } from './world.ts'

/**
 * Fresh connections at fixed times, whether the one before was answered or not: otherwise a server that lets them wait
 * would hardly be asked.
 */
export async function probe({ wire, keyOf }: World, { everyMs, ms }: JobOf<'probe'>): Promise<Measured> {
  const request = createPrinter({ ...wire.probe, headers: { ...wire.probe.headers, connection: 'close' } })(
    '',
    keyOf(0),
  )
  const totals: number[] = []
  const failures: Error[] = []
  const open: Promise<void>[] = []
  const startedAt = performance.now()
  const once = async () => {
    try {
      totals.push(await freshConnection(wire.port, request))
    } catch (error) {
      failures.push(error as Error)
    }
  }
  for (let n = 0; n * everyMs < ms; n++) {
    const waitMs = startedAt + n * everyMs - performance.now()
    if (waitMs > 0) await wait(waitMs)
    open.push(once())
  }
  await Promise.all(open)
  return summarize({ totals, firsts: [], failures, seconds: (performance.now() - startedAt) / 1_000 })
}

/** Milliseconds from the first packet to the end of the answer. */
function freshConnection(port: number, request: string | Buffer): Promise<number> {
  return new Promise((resolve, reject) => {
    const startedAt = performance.now()
    let answer = ''
    const socket = connect({ port, host: '127.0.0.1', noDelay: true }, () => socket.write(request))
    socket.setEncoding('latin1').on('data', (text: unknown) => {
      answer += text
    })
    socket.on('error', reject)
    socket.on('end', () => {
      if (/^HTTP\/1\.1 2\d\d /.test(answer)) resolve(performance.now() - startedAt)
      else reject(new Error(`a fresh connection got: ${answer.slice(0, 200)}`))
    })
  })
}

import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import type { Measured } from '../load/jobs.ts'
import { startLoad } from '../load-process.ts'
import { completionRequest } from '../servers/scene.ts'
import type { Wire } from '../wire/call.ts'
import { STREAM_END, TOKENS } from '../wire/openai-reply.ts'
import type { Complain, Facts, Times } from './facts.ts'
import { check } from './throughput.ts'

const MANY = 64

/** The load generator straight against the provider: what every server's times are compared with. */
export async function measureDirect(providerPort: number, times: Times, complain: Complain): Promise<Facts> {
  const measured = await turnsAgainst(providerPort, 1, times)
  check('the provider itself', measured, complain)
  return {
    'direct.first.p50': measured.first?.p50 ?? Number.NaN,
    'direct.first.p99': measured.first?.p99 ?? Number.NaN,
  }
}

/** Turns a second of the load generator against the provider, and against a server that does nothing but write the answer. */
export async function measureCeilings(providerPort: number, times: Times, complain: Complain): Promise<Facts> {
  const provider = await turnsAgainst(providerPort, MANY, times)
  check('the provider itself', provider, complain)
  const child = fork(join(import.meta.dirname, '../trivial.ts'))
  try {
    const [port] = (await once(child, 'message')) as [number]
    const trivial = await turnsAgainst(port, MANY, times)
    check('the trivial server', trivial, complain)
    return { 'ceiling.provider': provider.perSecond, 'ceiling.load': trivial.perSecond }
  } finally {
    child.disconnect()
  }
}

async function turnsAgainst(port: number, users: number, times: Times): Promise<Measured> {
  const wire: Wire = {
    port,
    create: null,
    turn: { method: 'POST', path: '/v1/chat/completions', body: completionRequest() },
    probe: { method: 'GET', path: '/v1/models' },
    ending: STREAM_END,
    marks: TOKENS,
  }
  const load = startLoad(wire)
  try {
    return await load.do({ kind: 'turns', users, warmMs: times.warmMs, ms: times.ms })
  } finally {
    await load.stop()
  }
}

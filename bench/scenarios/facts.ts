import type { LoadProcess } from '../load-process.ts'
import type { ProviderProcess } from '../provider-process.ts'
import type { Running } from '../servers/server.ts'

/** What was measured of one server in one repetition, by name; what is missing was not measured. */
export type Facts = Record<string, number>

export const CONCURRENCY = [1, 16, 64] as const

/** How long things are measured, in milliseconds. */
export type Times = { warmMs: number; ms: number; settleMs: number; talkTurns: number }

export const USUAL_TIMES: Times = { warmMs: 2_000, ms: 1_700, settleMs: 4_000, talkTurns: 20 }
export const QUICK_TIMES: Times = { warmMs: 700, ms: 1_200, settleMs: 500, talkTurns: 10 }

/** Where the scenarios say that answers were wrong. */
export type Complain = (what: string) => void

/** What a scenario works with. */
export type Stage = {
  load: LoadProcess
  server: Running
  provider: ProviderProcess
  times: Times
  complain: Complain
}

import type { Call } from '../wire/call.ts'

/** What a load process can be asked to do. Times are in milliseconds. */
export type Job =
  | { kind: 'create'; users: number; warmMs: number; ms: number }
  | { kind: 'turns'; users: number; warmMs: number; ms: number }
  /** `turns` turns in each of these conversations by one user; those in the first one warm up. */
  | { kind: 'history'; ids: readonly string[]; call: Call; turns: number }
  /** Fresh connections, one every `everyMs`, until `ms` are over. */
  | { kind: 'probe'; everyMs: number; ms: number }
  /** Opens streams until there are `count`; ends when each has had `marks` tokens. They stay open. */
  | { kind: 'streams'; count: number; marks: number }

/** How often something was done, and how long it took. */
export type Measured = {
  count: number
  seconds: number
  perSecond: number
  errors: number
  firstError: string | null
  total: Times
  /** Of turns: until the first token was there. */
  first: Times | null
}
export type Times = { p50: number; p99: number; max: number }

export type Request = { id: number; job: Job }
/** `measuring` comes when the warm-up is over. */
export type Report = { id: number } & ({ event: 'measuring' } | { result: Measured } | { error: string })

import type { Call } from '../wire/call.ts'

/** What a load process can be asked to do. Times are in milliseconds. */
export type Job =
  | { kind: 'create'; users: number; warmMs: number; ms: number }
  | { kind: 'turns'; users: number; warmMs: number; ms: number }
  /** `turns` turns in each of these conversations by one user. */
  | { kind: 'history'; ids: readonly string[]; call: Call; turns: number }
  /** Fresh connections, one every `everyMs`, until `ms` are over. */
  | { kind: 'probe'; everyMs: number; ms: number }
  /** Opens streams until there are `count`; ends when each has had `marks` tokens. They stay open. */
  | { kind: 'streams'; count: number; marks: number }
  /** Turns at a fixed rate, beside them reads and feedback. `score` has the message's id as `{message}`. */
  | {
      kind: 'mixed'
      users: number
      perSecond: number
      ms: number
      sliceMs: number
      read: Call
      list: Call
      score: Call
    }

export type JobOf<Kind extends Job['kind']> = Extract<Job, { kind: Kind }>

/** How often something was done, and how long it took. */
export type Measured = {
  count: number
  /** With those that ended too late to count, but were work all the same. */
  finished: number
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
/** `measuring` comes when the warm-up is over, a slice while it goes on. */
export type Report = { id: number } & (
  | { event: 'measuring' }
  | { event: 'slice'; slice: Measured }
  | { result: Measured }
  | { error: string }
)

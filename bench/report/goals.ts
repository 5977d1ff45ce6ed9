import { numberText } from './numbers.ts'
import { type Results, spreadOfFact } from './results.ts'
import type { Spread } from './statistics.ts'

export type Goal = {
  server: string
  what: string
  fact: string
  unit: string
  limit: number
  /** The limit as people say it, where that is no decimal. */
  limitText?: string
  kind: 'at least' | 'at most'
}

const onSqlite = (what: string, fact: string, kind: Goal['kind'], limit: number, unit: string): Goal => ({
  server: 'sqlite',
  what,
  fact,
  kind,
  limit,
  unit,
})

const onPostgres = (what: string, fact: string): Goal => ({
  server: 'postgres',
  what,
  fact,
  kind: 'at least',
  limit: 1 / 8,
  limitText: '1/8',
  unit: 'of the floor',
})

/** What Dramatis is meant to reach, on SQLite with full durability, in the same repetition as the floor. */
export const GOALS: readonly Goal[] = [
  onSqlite('turns a second at c=16', 'ratio:turns.16.perSecond', 'at least', 0.3, 'of the floor'),
  onSqlite('turns a second at c=64', 'ratio:turns.64.perSecond', 'at least', 0.3, 'of the floor'),
  onSqlite('CPU of a turn at c=16', 'turns.16.cpuMs', 'at most', 0.35, 'ms'),
  onSqlite('CPU of a turn at c=64', 'turns.64.cpuMs', 'at most', 0.35, 'ms'),
  onSqlite('added time to the first token at c=1, p50', 'added.p50', 'at most', 1, 'ms'),
  onSqlite('added time to the first token at c=1, p99', 'added.p99', 'at most', 5, 'ms'),
  onSqlite('whole turn at c=64, p99', 'ratio:turns.64.p99', 'at most', 5, 'x the floor'),
  onSqlite('fresh connection while c=64 runs, p99', 'connect.p99', 'at most', 100, 'ms'),
  {
    ...onSqlite('conversations made a second', 'ratio:create.perSecond', 'at least', 1 / 3, 'of the floor'),
    limitText: '1/3',
  },
  onSqlite('turn at 1,000 messages, all sent', 'ratio:history.whole1000.p50', 'at most', 1.5, 'x the floor'),
  onSqlite('turn with a window, 10,000 messages to 1,000', 'history.growth', 'at most', 1.2, 'x'),
  onSqlite('memory after the start', 'start.idleMiB', 'at most', 110, 'MiB'),
  onSqlite('memory of a stream, 500 open', 'streams.500.miB', 'at most', 0.08, 'MiB'),
  onSqlite('memory of a stream, 2,000 open', 'streams.2000.miB', 'at most', 0.08, 'MiB'),
  onSqlite('start to first turn', 'start.firstTurnMs', 'at most', 600, 'ms'),
  onPostgres('turns a second at c=16', 'ratio:turns.16.perSecond'),
  onPostgres('turns a second at c=64', 'ratio:turns.64.perSecond'),
]

/** Null when it was not measured. */
export function isMet({ kind, limit }: Goal, spread: Spread | null): boolean | null {
  if (spread === null) return null
  return kind === 'at least' ? spread.median >= limit : spread.median <= limit
}

/** The goals with what was measured, as rows of a table. */
export function goalRows(results: Results): string[][] {
  return GOALS.map((goal) => {
    const spread = spreadOfFact(results, goal.server, goal.fact)
    const met = isMet(goal, spread)
    const server = results.servers.find(({ name }) => name === goal.server)?.title ?? goal.server
    return [
      `${goal.what}, ${server.replace('Dramatis, ', '')}`,
      `${goal.kind} ${goal.limitText ?? numberText(goal.limit)} ${goal.unit}`,
      spread === null ? 'not measured' : `${numberText(spread.median)} (${rangeText(spread)})`,
      met === null ? '' : met ? 'met' : '**missed**',
    ]
  })
}

export const rangeText = ({ min, max }: Spread): string => `${numberText(min)} to ${numberText(max)}`

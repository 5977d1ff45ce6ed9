import type { Statement } from '../../server/src/storage/database.ts'
import type { RunningApp } from './app.ts'

/** One read, and how many rows it gave. */
export type Read = { sql: string; parameters: readonly unknown[]; rows: number }

/** What a piece of work has asked of the database, in order. */
export type Traffic = {
  batches: (readonly Statement[])[]
  /** Point reads and long ones. */
  reads: Read[]
}

/** What a server does by itself: looks for turns that another wants to stop, and counts the organizations. */
const UPKEEP = /"stop_requested" is not null|from "organization" order by "id"$/

/**
 * Notes what a server in this process asks of its database while `work` is done. The services call the methods of one
 * object, and so it is enough to put others in their place for that time. What rides along with a batch, such as the
 * claim of an `Idempotency-Key`, is added behind this and not seen.
 */
export async function watchDatabase(server: RunningApp, work: () => Promise<unknown>): Promise<Traffic> {
  const { database } = server.app.services
  const { read, scan, write } = database
  const traffic: Traffic = { batches: [], reads: [] }
  const noting =
    (ask: typeof scan): typeof scan =>
    async (query, organizationId) => {
      const rows = await ask(query, organizationId)
      const { sql, parameters } = query
      if (!UPKEEP.test(sql)) traffic.reads.push({ sql, parameters, rows: rows.length })
      return rows as never
    }
  Object.assign(database, {
    read: noting(read),
    scan: noting(scan),
    write: (batch: readonly Statement[]) => {
      traffic.batches.push(batch)
      return write(batch)
    },
  })
  try {
    await work()
    return traffic
  } finally {
    Object.assign(database, { read, scan, write })
  }
}

/** The table that a query is about: not those of the queries within it. */
export function tableOf({ sql }: { sql: string }): string {
  let outer = sql
  for (let before = ''; before !== outer; ) {
    before = outer
    outer = outer.replaceAll(/\([^()]*\)/g, '')
  }
  return /(?:from|into|update) "(\w+)"/.exec(outer)?.[1] ?? ''
}

/** How many messages were read, a page at a time. */
export function messagesRead({ reads }: Traffic): number[] {
  return reads.filter((read) => tableOf(read) === 'message').map(({ rows }) => rows)
}

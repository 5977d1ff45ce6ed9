import pg from 'pg'
import type { Connection } from './connect.ts'

/** What lies between us and PostgreSQL: nothing, a pooler that knows named statements, or one that does not. */
export type Pooler = 'none' | 'with statements' | 'without statements'

let probes = 0

/**
 * Finds out by asking whether statements that are prepared under a name are found again. A pooler has told us of a process
 * that is not the one that answers. Those that know named statements (PgBouncer since 1.21 with
 * `max_prepared_statements`) give them names of their own, because two clients may choose the same; the others hand each
 * transaction to any connection, where the name is unknown or somebody else's. A pooler that keeps one
 * connection for each session cannot be told from those, and loses only the preparing.
 */
export async function findPooler({ client, facts }: Connection, timeoutMs: number): Promise<Pooler> {
  if ((client as pg.Client & { processID: number | null }).processID === facts.processId) return 'none'
  const name = `dramatis_probe_${process.pid}_${Date.now().toString(36)}_${probes++}`
  // In one transaction, so that a name that stays is taken away where it is.
  const query = (text: string, more: object = {}) =>
    client.query({ text, query_timeout: timeoutMs, ...more } as pg.QueryConfig)
  await query('begin')
  try {
    const { rows } = await query('select count(*)::int as n from pg_prepared_statements where name = $1', {
      name,
      values: [name],
    })
    if (rows[0].n === 0) return 'with statements'
    await query(`deallocate ${pg.escapeIdentifier(name)}`)
    return 'without statements'
  } finally {
    await query('rollback')
  }
}

import { setTimeout as wait } from 'node:timers/promises'
import type pg from 'pg'

/** Bytes, with indexes: rewriting locks a table against everybody, at about 100 MB/s, so for some 5 s at most. */
const LARGEST_REWRITTEN = 512 * 1024 ** 2
/** How often to try to get hold of a table, and milliseconds in between: with turns under way the gaps are short. */
const MOST_TRIES = 50
const TRY_AGAIN_MS = 20

/**
 * Milliseconds to wait for transactions that are older than what was deleted. It is the oldest of any database of the
 * server that counts, because a snapshot begins with the oldest transaction that runs anywhere.
 */
const PATIENCE_MS = 5_000

/** Holds samples of what stood in the tables; `vacuum (analyze)` takes new ones. */
const STATISTICS = 'pg_catalog.pg_statistic'

/**
 * Takes what was deleted out of the files of these tables and their indexes. A plain VACUUM only marks the room as free,
 * the bytes stay until something else is written there: a table is rewritten, unless it is larger than 512 MiB or is
 * never free; then a line in the log says what is left to do. Resolves with the milliseconds for which tables were locked.
 */
export async function vacuum(
  client: pg.ClientBase,
  tables: readonly string[],
  log: (message: string) => void,
  patienceMs = PATIENCE_MS,
): Promise<number> {
  let lockedMs = 0
  if (!(await untilNobodySees(client, patienceMs))) {
    log(
      'what was erased may be left in files, for a transaction that is older has not ended: erase something again later',
    )
  }
  for (const table of [...tables, STATISTICS]) {
    // Names of our own tables, never of a caller.
    const took = (await sizeOf(client, table)) <= LARGEST_REWRITTEN ? await rewrite(client, table) : null
    lockedMs += took ?? 0
    if (took !== null) continue
    await client.query(`vacuum (analyze) ${table}`)
    log(`what was erased is gone from ${table}, but not from its file: run "vacuum full ${table}" at a quiet time`)
  }
  return lockedMs
}

/**
 * Waits until every transaction has ended that still sees what has just been deleted, because rewriting a table keeps what
 * somebody sees. False when one did not end in time.
 */
async function untilNobodySees(client: pg.ClientBase, patienceMs: number): Promise<boolean> {
  const { rows } = await client.query('select pg_snapshot_xmax(pg_current_snapshot())::xid::text as next')
  const until = performance.now() + patienceMs
  for (;;) {
    const older = await client.query(
      `select 1 from pg_stat_activity where datname = current_database() and age(backend_xmin) > age($1::text::xid)
       union all select 1 from pg_prepared_xacts where database = current_database() and age(transaction) > age($1::text::xid)`,
      [rows[0].next],
    )
    if (older.rowCount === 0) return true
    if (performance.now() > until) return false
    await wait(TRY_AGAIN_MS)
  }
}

/**
 * How many milliseconds it took; null when the table was never free. Does not queue for its lock, because everybody else
 * would queue behind it.
 */
async function rewrite(client: pg.ClientBase, table: string): Promise<number | null> {
  const before = await fileOf(client, table)
  for (let tries = 0; tries < MOST_TRIES; tries++) {
    const begunAt = performance.now()
    await client.query(`vacuum (full, analyze, skip_locked) ${table}`)
    // A table that was skipped has the file that it had.
    if ((await fileOf(client, table)) !== before) return performance.now() - begunAt
    await wait(TRY_AGAIN_MS)
  }
  return null
}

async function sizeOf(client: pg.ClientBase, table: string): Promise<number> {
  const { rows } = await client.query('select pg_total_relation_size($1::regclass) as bytes', [table])
  return rows[0].bytes
}

async function fileOf(client: pg.ClientBase, table: string): Promise<unknown> {
  const { rows } = await client.query('select pg_relation_filenode($1::regclass) as file', [table])
  return rows[0].file
}

import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { type MessagePort, parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import type { Statement } from './database.ts'
import { sqliteCode } from './sqlite-errors.ts'
import { type BatchOutcome, CLOSE, SCRUB, type WriteRequest } from './sqlite-threads.ts'

type Batch = WriteRequest & { batch: readonly Statement[] }

const SQLITE_BUSY = 5
/** Bytes: rewriting takes about 7 ms a MB, and writes wait for it. */
const LARGEST_REWRITTEN = 1024 ** 3

/**
 * The thread that writes. Every batch that has queued by the time a transaction starts goes into it, each under a
 * savepoint of its own, and none is answered before COMMIT: one fsync serves them all.
 */
function serve(port: MessagePort, file: string): void {
  const connection = new DatabaseSync(file, { timeout: 5_000 })
  // FULL: with WAL, NORMAL may lose the last commits when the power goes, and they have been shown to people by then.
  connection.exec('pragma synchronous = full; pragma cache_size = -32000; pragma temp_store = memory')
  // Overwrites what is deleted. A turn of ten events took 0.177 ms of the processor with it and 0.176 without.
  connection.exec('pragma secure_delete = on')
  const constraints = nameConstraints(connection)
  const statements = new Map<string, StatementSync>()

  port.on('message', (first: WriteRequest[] | typeof CLOSE) => {
    if (first === CLOSE) {
      // The last connection to close folds the write-ahead log into the file and removes it.
      connection.close()
      port.close()
      return
    }
    const group = [...first]
    for (let more = receiveMessageOnPort(port); more; more = receiveMessageOnPort(port)) {
      group.push(...(more.message as WriteRequest[]))
    }
    port.postMessage(commitGroup(group.filter(isBatch)))
    const scrubs = group.filter((request) => !isBatch(request))
    // One does for all who want it by now.
    if (scrubs.length > 0) port.postMessage(scrub(scrubs))
  })
  port.postMessage([])

  /**
   * VACUUM, because `secure_delete` is not enough: when SQLite splits a page, copies of what it moved away stay in the
   * gap of the old one. Of 1,000 texts written among others and deleted under it, 4 could still be read in the file.
   */
  function scrub(requests: WriteRequest[]): BatchOutcome[] {
    try {
      const isRewritten = sizeOf(connection) <= LARGEST_REWRITTEN
      // The copy that it makes is as large as the file.
      if (isRewritten) connection.exec('pragma temp_store = file; vacuum; pragma temp_store = memory')
      const { busy } = connection.prepare('pragma wal_checkpoint(truncate)').get() as { busy: number }
      if (busy !== 0) throw Object.assign(new Error('a reader keeps the write-ahead log'), { errcode: SQLITE_BUSY })
      return requests.map(({ id }) => ({ id, touched: [isRewritten ? 1 : 0] }))
    } catch (error) {
      connection.exec('pragma temp_store = memory')
      return requests.map(({ id }) => ({ id, failure: describe(error) }))
    }
  }

  function commitGroup(group: Batch[]): BatchOutcome[] {
    const outcomes: BatchOutcome[] = []
    if (group.length === 0) return outcomes
    try {
      connection.exec('begin immediate')
      for (const request of group) outcomes.push(applyBatch(request))
      connection.exec('commit')
      return outcomes
    } catch (error) {
      if (connection.isTransaction) connection.exec('rollback')
      // Nothing of the group is on disk, so nobody in it may hear otherwise.
      return group.map(({ id }) => ({ id, failure: describe(error) }))
    }
  }

  function applyBatch({ id, batch }: Batch): BatchOutcome {
    connection.exec('savepoint batch')
    try {
      const touched = batch.map(apply)
      const untouched = batch.find((statement, i) => statement.guard !== undefined && touched[i] === 0)
      connection.exec(untouched ? 'rollback to batch; release batch' : 'release batch')
      return untouched ? { id, conflict: untouched.guard as string } : { id, touched }
    } catch (error) {
      // A full disk ends the whole transaction by itself; then it is the group that failed.
      if (!connection.isTransaction) throw error
      connection.exec('rollback to batch; release batch')
      const conflict = constraints.nameOf(error)
      return conflict === undefined ? { id, failure: describe(error) } : { id, conflict }
    }
  }

  function apply(statement: Statement): number {
    let prepared = statements.get(statement.sql)
    if (!prepared) {
      if (statements.size >= 500) statements.clear()
      prepared = connection.prepare(statement.sql)
      statements.set(statement.sql, prepared)
    }
    return Number(prepared.run(...statement.parameters).changes)
  }
}

function sizeOf(connection: DatabaseSync): number {
  const row = connection
    .prepare('select page_count * page_size as bytes from pragma_page_count, pragma_page_size')
    .get()
  return Number(row?.['bytes'])
}

function isBatch(request: WriteRequest): request is Batch {
  return request.batch !== SCRUB
}

/** SQLite names the columns of a violated constraint; this finds the name that PostgreSQL would give. */
function nameConstraints(connection: DatabaseSync) {
  const rows = connection
    .prepare(
      `select m.name as "table", i.name as "index", i.origin as origin,
              (select group_concat(m.name || '.' || c.name, ', ') from pragma_index_info(i.name) c) as columns
         from sqlite_schema m, pragma_index_list(m.name) i where m.type = 'table' and i."unique" = 1`,
    )
    .all() as { table: string; index: string; origin: string; columns: string }[]
  const names = new Map(rows.map((row) => [row.columns, row.origin === 'pk' ? `${row.table}_pkey` : row.index]))

  return {
    nameOf(error: unknown): string | undefined {
      const code = sqliteCode(error)
      if (code === undefined || (code & 0xff) !== 19) return undefined
      const columns = (error as Error).message.replace(/^.*constraint failed: /, '')
      return names.get(columns) ?? columns
    },
  }
}

function describe(error: unknown): { message: string; errcode: number | undefined } {
  return { message: error instanceof Error ? error.message : String(error), errcode: sqliteCode(error) }
}

if (parentPort) serve(parentPort, (workerData as { file: string }).file)

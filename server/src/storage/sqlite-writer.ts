import { flushCompileCache } from 'node:module'
import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { type MessagePort, parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import { type BatchMessage, type ReadBatch, readBatches } from './sqlite-batches.ts'
import { sqliteCode } from './sqlite-errors.ts'
import { CLOSE, type WriteOutcomes } from './sqlite-threads.ts'

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
  connection.exec(
    'pragma synchronous = full; pragma wal_autocheckpoint = 4000; pragma cache_size = -32000; pragma temp_store = memory',
  )
  // Overwrites what is deleted. A turn of ten events took 0.177 ms of the processor with it and 0.176 without.
  connection.exec('pragma secure_delete = on')
  const constraints = nameConstraints(connection)
  const control = {
    begin: connection.prepare('begin immediate'),
    commit: connection.prepare('commit'),
    savepoint: connection.prepare('savepoint batch'),
    release: connection.prepare('release batch'),
  }
  /** The texts that have come over, and what was prepared of them, by number. */
  let texts: string[] = []
  let prepared: StatementSync[] = []

  port.on('message', (first: BatchMessage | typeof CLOSE) => {
    if (first === CLOSE) {
      // The last connection to close folds the write-ahead log into the file and removes it.
      connection.close()
      port.close()
      return
    }
    const group: Batch[] = []
    const scrubs: number[] = []
    for (let message: BatchMessage | undefined = first; message; message = nextMessage()) take(message, group, scrubs)
    if (group.length > 0) port.postMessage(commitGroup(group))
    // One does for all who want it by now.
    if (scrubs.length > 0) port.postMessage(scrub(scrubs))
  })
  port.postMessage(nothing())

  function nextMessage(): BatchMessage | undefined {
    return receiveMessageOnPort(port)?.message as BatchMessage | undefined
  }

  function take(message: BatchMessage, group: Batch[], scrubs: number[]): void {
    if (message.isFresh) {
      texts = []
      prepared = []
    }
    texts.push(...message.texts)
    // The numbers are those of now: a message behind it in the group may begin anew.
    const known = { texts, prepared }
    for (const batch of readBatches(message)) {
      if (batch.isScrub) scrubs.push(batch.id)
      else group.push({ ...batch, known })
    }
  }

  /**
   * VACUUM, because `secure_delete` is not enough: when SQLite splits a page, copies of what it moved away stay in the
   * gap of the old one. Of 1,000 texts written among others and deleted under it, 4 could still be read in the file.
   */
  function scrub(ids: readonly number[]): WriteOutcomes {
    try {
      const isRewritten = sizeOf(connection) <= LARGEST_REWRITTEN
      // The copy that it makes is as large as the file.
      if (isRewritten) connection.exec('pragma temp_store = file; vacuum; pragma temp_store = memory')
      const { busy } = connection.prepare('pragma wal_checkpoint(truncate)').get() as { busy: number }
      if (busy !== 0) throw Object.assign(new Error('a reader keeps the write-ahead log'), { errcode: SQLITE_BUSY })
      return { touched: ids.flatMap((id) => [id, 1, isRewritten ? 1 : 0]), refused: [] }
    } catch (error) {
      connection.exec('pragma temp_store = memory')
      return { touched: [], refused: ids.map((id) => ({ id, failure: describe(error) })) }
    }
  }

  function commitGroup(group: readonly Batch[]): WriteOutcomes {
    const outcomes = nothing()
    try {
      control.begin.run()
      for (const batch of group) applyBatch(batch, outcomes)
      control.commit.run()
      return outcomes
    } catch (error) {
      if (connection.isTransaction) connection.exec('rollback')
      // Nothing of the group is on disk, so nobody in it may hear otherwise.
      return { touched: [], refused: group.map(({ id }) => ({ id, failure: describe(error) })) }
    }
  }

  function applyBatch({ id, known, forEach }: Batch, { touched, refused }: WriteOutcomes): void {
    const before = touched.length
    let unheld: string | null = null
    control.savepoint.run()
    try {
      touched.push(id, 0)
      forEach((number, guard, parameters) => {
        const changes = Number(statementOf(number, known).run(...parameters).changes)
        if (guard !== null && changes === 0) unheld ??= guard
        touched.push(changes)
      })
      touched[before + 1] = touched.length - before - 2
      if (unheld === null) {
        control.release.run()
        return
      }
      connection.exec('rollback to batch; release batch')
      refused.push({ id, conflict: unheld })
    } catch (error) {
      // A full disk ends the whole transaction by itself; then it is the group that failed.
      if (!connection.isTransaction) throw error
      connection.exec('rollback to batch; release batch')
      const conflict = constraints.nameOf(error)
      refused.push(conflict === undefined ? { id, failure: describe(error) } : { id, conflict })
    }
    touched.length = before
  }

  function statementOf(number: number, known: Known): StatementSync {
    known.prepared[number] ??= connection.prepare(known.texts[number] as string)
    return known.prepared[number]
  }
}

type Known = { texts: string[]; prepared: StatementSync[] }
type Batch = ReadBatch & { known: Known }

function nothing(): WriteOutcomes {
  return { touched: [], refused: [] }
}

function sizeOf(connection: DatabaseSync): number {
  const row = connection
    .prepare('select page_count * page_size as bytes from pragma_page_count, pragma_page_size')
    .get()
  return Number(row?.['bytes'])
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

if (parentPort) {
  serve(parentPort, (workerData as { file: string }).file)
  // For the next start, should this process be killed.
  flushCompileCache()
}

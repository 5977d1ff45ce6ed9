import { flushCompileCache } from 'node:module'
import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { type MessagePort, parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import { type BatchMessage, CLOSE, type ReadBatch, readBatches } from './batches.ts'
import { sqliteCode } from './errors.ts'
import { AUTOCHECKPOINT, createScrubber } from './scrub.ts'
import type { WriteOutcomes } from './threads.ts'

/**
 * The thread that writes. Every batch that has queued by the time a transaction starts goes into it, each under a
 * savepoint of its own, and none is answered before COMMIT: one fsync serves them all.
 */
function serve(port: MessagePort, file: string): void {
  const connection = new DatabaseSync(file, { timeout: 5_000 })
  // FULL: with WAL, NORMAL may lose the last commits when the power goes, and they have been shown to people by then.
  connection.exec(
    `pragma synchronous = full; pragma wal_autocheckpoint = ${AUTOCHECKPOINT}; pragma cache_size = -32000; pragma temp_store = memory`,
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
  const scrubber = createScrubber(file, connection)
  /** Batches that ask for a clean file. */
  let wanting: number[] = []
  let isScrubbing = false
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
    for (let message: BatchMessage | undefined = first; message; message = nextMessage()) take(message, group)
    if (group.length > 0) port.postMessage(commitGroup(group))
    if (wanting.length > 0 && !isScrubbing) void scrub()
  })
  port.postMessage(nothing())

  function nextMessage(): BatchMessage | undefined {
    return receiveMessageOnPort(port)?.message as BatchMessage | undefined
  }

  function take(message: BatchMessage, group: Batch[]): void {
    if (message.isFresh) {
      texts = []
      prepared = []
    }
    texts.push(...message.texts)
    // The numbers are those of now: a message behind it in the group may begin anew.
    const known = { texts, prepared }
    for (const batch of readBatches(message)) {
      if (batch.isScrub) wanting.push(batch.id)
      else group.push({ ...batch, known })
    }
  }

  /** Cleans the file for all who want it until it is clean; for who comes later it begins anew. */
  async function scrub(): Promise<void> {
    let served: number[] = []
    const serve = () => {
      served = wanting
      wanting = []
    }
    isScrubbing = true
    try {
      const isClean = await scrubber.scrub(serve)
      if (!isClean) serve()
      port.postMessage({
        touched: served.flatMap((id) => [id, 1, isClean ? 1 : 0]),
        refused: [],
      } satisfies WriteOutcomes)
    } catch (error) {
      if (served.length === 0) serve()
      const refused = served.map((id) => ({ id, failure: describe(error) }))
      port.postMessage({ touched: [], refused } satisfies WriteOutcomes)
    }
    isScrubbing = false
    if (wanting.length > 0) void scrub()
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
  // A report has a part for each thread, and in each the environment of the whole process, with every key.
  process.report.excludeEnv = true
  serve(parentPort, (workerData as { file: string }).file)
  // For the next start, should this process be killed.
  flushCompileCache()
}

import { existsSync, mkdirSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync, type StatementSync } from 'node:sqlite'
import {
  type CompiledQuery,
  DummyDriver,
  Kysely,
  SqliteAdapter,
  SqliteIntrospector,
  SqliteQueryCompiler,
  sql,
} from 'kysely'
import { findDiskObstacle } from '../../lib/process/disk.ts'
import { makePrivateFile, PRIVATE_FOLDER } from '../../lib/process/private-files.ts'
import { sqliteColumnTypes } from '../column-types.ts'
import type { Database, SqlValue } from '../database.ts'
import { StorageError } from '../database.ts'
import type { Dialect } from '../dialect.ts'
import type { Schema } from '../schema.ts'
import { createWriteWatch } from '../write-watch.ts'
import { explainSqliteError } from './errors.ts'
import { acquireServerLock, type ServerLock } from './lock.ts'
import { migrateSqlite } from './migrate.ts'
import { connectReader, connectWriter } from './threads.ts'

export const sqliteDialect: Dialect = {
  name: 'sqlite',
  columnTypes: sqliteColumnTypes,
  builder: new Kysely<Schema>({
    dialect: {
      createAdapter: () => new SqliteAdapter(),
      createDriver: () => new DummyDriver(),
      createIntrospector: (db) => new SqliteIntrospector(db),
      createQueryCompiler: () => new SqliteQueryCompiler(),
    },
  }),
  // json_extract turns true into 1; json_quote keeps the word, and only strings have quotes to take off.
  // Not json_extract(): its path has no way to name a key with a backslash.
  jsonMember: (column, key) => sql<string | null>`(
    select case
      when type in ('true', 'false') then type
      when type in ('integer', 'real') then coalesce(${sql.ref(column)} -> fullkey, cast(value as text))
      else cast(value as text)
    end
    from json_each(${sql.ref(column)}) where key = ${key})`,
  utcDay: (column) => sql<string>`date(${sql.ref(column)} / 1000, 'unixepoch')`,
}

export type SqliteOptions = {
  file: string
  /** A server owns its file: takes the lock, and checks the file when the last owner did not close it. */
  asServer: boolean
  log: (message: string) => void
  /** Bytes of a file up to which it is checked before anybody is served; 64 MiB by default. */
  checkedFirst?: number
}

/** Read in a fifth of a second. A larger file would keep everybody waiting: it is checked beside the serving. */
const CHECKED_FIRST = 64 * 1_024 * 1_024

/**
 * Opens a SQLite file, creating and migrating it as needed. Point reads run here on a read-only connection (a few
 * microseconds each), writes in a thread of their own, long reads in another that starts when first needed.
 * Throws {@link StorageError} when another server owns the file, or when it is damaged or cannot be written.
 */
export async function openSqlite(options: SqliteOptions): Promise<Database> {
  let lock: ServerLock | undefined
  try {
    mkdirSync(dirname(options.file), { recursive: true, mode: PRIVATE_FOLDER })
    if (options.asServer) lock = acquireServerLock(options.file)
    makePrivateFile(options.file)
    const isSuspect = lock?.wasUnclean === true && existsSync(options.file)
    const isSmall = isSuspect && statSync(options.file).size <= (options.checkedFirst ?? CHECKED_FIRST)
    if (isSmall) checkIntegrity(options.file, options.log)
    migrateSqlite(options.file)
    return connect(options, lock, isSuspect && !isSmall)
  } catch (error) {
    lock?.releaseAsUnclean()
    throw error instanceof StorageError ? error : explainSqliteError(error, options.file)
  }
}

function connect({ file, log }: SqliteOptions, lock: ServerLock | undefined, isUnchecked: boolean): Database {
  const writer = connectWriter(file, (error) => watch.failed(error))
  const watch = createWriteWatch(writer.write, (isSuspect) => findDiskObstacle(dirname(file), isSuspect))
  const checker = isUnchecked ? checkBeside(file, log) : undefined
  const connection = new DatabaseSync(file, { readOnly: true, timeout: 5_000 })
  // Not mapped into memory: each commit of the writer would map it anew, and the next read take 22 µs instead of 7.
  connection.exec('pragma cache_size = -16000')
  const statements = createStatementCache(connection)
  let reader: ReturnType<typeof connectReader> | undefined

  return {
    dialect: sqliteDialect,
    async read<Row>(query: CompiledQuery<Row>) {
      try {
        return statements.get(query.sql).all(...(query.parameters as SqlValue[])) as Row[]
      } catch (error) {
        throw explainSqliteError(error, file)
      }
    },
    async scan<Row>(query: CompiledQuery<Row>) {
      reader ??= connectReader(file)
      return (await reader.read(query.sql, query.parameters as SqlValue[])) as Row[]
    },
    write: (batch) => writer.write(batch),
    async scrub() {
      if (await writer.scrub()) return
      log(`traces of what was erased may be left in ${file}: run "vacuum" on it with the sqlite3 tool at a quiet time`)
    },
    findObstacle: watch.findObstacle,
    async close() {
      await checker?.stop()
      await reader?.close()
      connection.close()
      await writer.close()
      lock?.release()
    },
  }
}

function createStatementCache(connection: DatabaseSync) {
  const cache = new Map<string, StatementSync>()
  return {
    get(sqlText: string): StatementSync {
      const known = cache.get(sqlText)
      if (known) return known
      // Lists with filters have many shapes; forgetting all of them at once is simple and rare.
      if (cache.size >= 500) cache.clear()
      const statement = connection.prepare(sqlText)
      cache.set(sqlText, statement)
      return statement
    },
  }
}

/** Checks a file in a thread of its own, and says what came of it. */
function checkBeside(file: string, log: (message: string) => void): { stop(): Promise<void> } {
  const reader = connectReader(file)
  const say = ([row]: unknown[]) => {
    const found = (row as { quick_check?: string } | undefined)?.quick_check
    log(found === 'ok' ? CHECKED : damage(file, found).message)
  }
  const checking = reader.read('pragma quick_check(1)', []).then(say, (error: Error) => log(error.message))
  log('the last server did not stop cleanly; the database is being checked while it is served')
  return {
    async stop() {
      await checking
      await reader.close()
    },
  }
}

const CHECKED = 'the last server did not stop cleanly; the database was checked and is sound'

function damage(file: string, found: string | undefined): StorageError {
  return new StorageError(`${file} is damaged (${found}): restore a backup with "dramatis restore"`)
}

function checkIntegrity(file: string, log: (message: string) => void): void {
  const connection = new DatabaseSync(file)
  try {
    const rows = connection.prepare('pragma quick_check(1)').all() as { quick_check: string }[]
    if (rows[0]?.quick_check !== 'ok') throw damage(file, rows[0]?.quick_check)
    log(CHECKED)
  } finally {
    connection.close()
  }
}

import { existsSync, statSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { sqliteColumnTypes } from '../column-types.ts'
import { StorageError } from '../database.ts'
import { pendingMigrations } from '../migrations/migrations.ts'
import { explainSqliteError, sqliteCode } from './errors.ts'
import { APPLICATION_ID, appliedTo, checkUnsigned } from './migrate.ts'

/** Milliseconds to wait for a lock that another process holds. */
const LOCK_TIMEOUT_MS = 10_000

const CORRUPT = 11
const NOT_A_DATABASE = 26

export type SqliteInspection = {
  /** The number of the newest migration that has been applied; 0 for none. */
  migration: number
  /** The first thing that is wrong with the file; null for a sound one. */
  damage: string | null
  /** Why this version cannot go on from it; null when it can. */
  fault: string | null
  /** How many migrations are left to do. */
  pending: number
}

/**
 * Reads what a file is and, with `isDeep`, all of it to see whether it is sound, without changing it. Throws {@link StorageError} when
 * it is no database of ours.
 */
export function inspectSqlite(file: string, { isDeep = true } = {}): SqliteInspection {
  if (!existsSync(file)) throw new StorageError(`there is no file ${file}`)
  if (!statSync(file).isFile()) throw new StorageError(`${file} is not a file`)
  try {
    const connection = openOurs(file)
    try {
      const checked = isDeep ? connection.prepare('pragma integrity_check(1)').get()?.['integrity_check'] : 'ok'
      const damage = checked === 'ok' ? null : String(checked).split('\n').at(-1) || 'unreadable'
      return { damage, ...(damage === null ? inspectSchema(connection) : UNKNOWN) }
    } finally {
      connection.close()
    }
  } catch (error) {
    if (primaryCode(error) === CORRUPT) return { ...UNKNOWN, damage: (error as Error).message }
    throw error instanceof StorageError ? error : explainSqliteError(error, file)
  }
}

/** Opens a file for reading only. Throws when it is no database of ours, or what SQLite throws. */
export function openOurs(file: string): DatabaseSync {
  const connection = new DatabaseSync(file, { readOnly: true, timeout: LOCK_TIMEOUT_MS })
  try {
    const id = connection.prepare('pragma application_id').get()?.['application_id']
    if (id !== APPLICATION_ID) throw new StorageError(`${file} is not a Dramatis database`)
    return connection
  } catch (error) {
    connection.close()
    if (primaryCode(error) !== NOT_A_DATABASE) throw error
    throw new StorageError(`${file} is not a Dramatis database, or is damaged`, { cause: error })
  }
}

const UNKNOWN = { migration: 0, fault: null, pending: 0 }

function inspectSchema(connection: DatabaseSync): Omit<SqliteInspection, 'damage'> {
  const applied = appliedTo(connection)
  const migration = applied.at(-1)?.number ?? 0
  try {
    const pending = pendingMigrations(applied, sqliteColumnTypes).length
    checkUnsigned(connection, applied)
    return { migration, fault: null, pending }
  } catch (error) {
    if (!(error instanceof StorageError)) throw error
    return { migration, fault: error.message, pending: 0 }
  }
}

/** The result code of an error of node:sqlite, without what extends it. */
export function primaryCode(error: unknown): number | undefined {
  const code = sqliteCode(error)
  return code === undefined ? undefined : code & 0xff
}

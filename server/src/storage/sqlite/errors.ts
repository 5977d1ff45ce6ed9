import { dirname } from 'node:path'
import { type DiskObstacle, diskObstacleOf, hasBecomeReadOnly, isOnReadOnlyDisk } from '../../lib/process/disk.ts'
import { StorageError } from '../database.ts'

/** Primary result codes, https://www.sqlite.org/rescode.html, that say something about the file and not about the query. */
const MEANING: Record<number, string> = {
  5: 'is locked by another process',
  6: 'is locked',
  8: 'cannot be written: the file is read-only, or this user may not write it',
  10: 'cannot be read or written (input/output error)',
  11: 'is damaged: restore a backup with "dramatis restore"',
  13: 'cannot grow: the disk is full',
  14: 'cannot be opened',
  23: 'may not be accessed',
  26: 'is not a SQLite database, or is damaged',
}

const READ_ONLY = 8
const IO_ERROR = 10
const FULL = 13
const CANNOT_OPEN = 14
const OBSTACLE: Record<number, DiskObstacle> = { [READ_ONLY]: 'read-only', [IO_ERROR]: 'failing', [FULL]: 'full' }

/** The result code of an error of node:sqlite, extended form. */
export function sqliteCode(error: unknown): number | undefined {
  const code = error instanceof Error ? (error as Error & { errcode?: unknown }).errcode : undefined
  return typeof code === 'number' ? code : undefined
}

/** A {@link StorageError} in an operator's words where the file is to blame, else the error itself. */
export function explainSqliteError(error: unknown, file: string): Error {
  const primary = (sqliteCode(error) ?? 0) & 0xff
  const systemCode = systemCodeOf(error)
  if (isDiskReadOnly(primary, systemCode, dirname(file))) {
    return new StorageError(`the database ${file} cannot be written: its disk is read-only`, {
      cause: error,
      obstacle: 'read-only',
    })
  }
  const meaning = MEANING[primary]
  if (meaning) {
    return new StorageError(`the database ${file} ${meaning}`, { cause: error, obstacle: OBSTACLE[primary] ?? null })
  }
  if (systemCode !== null) {
    return new StorageError(`the database ${file} cannot be opened: ${(error as Error).message}`, {
      cause: error,
      obstacle: diskObstacleOf(error),
    })
  }
  return error instanceof Error ? error : new Error(String(error))
}

function systemCodeOf(error: unknown): string | null {
  const code = error instanceof Error && 'code' in error ? error.code : null
  return typeof code === 'string' && /^E[A-Z]+$/.test(code) ? code : null
}

/** SQLite says in several ways that it can write nothing there, and so does Node.js: ENOENT for a folder it cannot make. */
function isDiskReadOnly(primary: number, systemCode: string | null, folder: string): boolean {
  if (systemCode === 'EROFS') return true
  if (primary === IO_ERROR) return isOnReadOnlyDisk(folder) || hasBecomeReadOnly(folder)
  return (systemCode !== null || primary === READ_ONLY || primary === CANNOT_OPEN) && isOnReadOnlyDisk(folder)
}

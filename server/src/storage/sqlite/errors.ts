import { StorageError } from '../database.ts'

/** Primary result codes, https://www.sqlite.org/rescode.html, that say something about the file and not about the query. */
const MEANING: Record<number, string> = {
  5: 'is locked by another process',
  6: 'is locked',
  8: 'cannot be written (read-only)',
  10: 'cannot be read or written (input/output error)',
  11: 'is damaged: restore a backup with "dramatis restore"',
  13: 'cannot grow: the disk is full',
  14: 'cannot be opened',
  23: 'may not be accessed',
  26: 'is not a SQLite database, or is damaged',
}

/** The result code of an error of node:sqlite, extended form. */
export function sqliteCode(error: unknown): number | undefined {
  const code = error instanceof Error ? (error as Error & { errcode?: unknown }).errcode : undefined
  return typeof code === 'number' ? code : undefined
}

/** A {@link StorageError} in an operator's words where the file is to blame, else the error itself. */
export function explainSqliteError(error: unknown, file: string): Error {
  const code = sqliteCode(error)
  const meaning = code === undefined ? undefined : MEANING[code & 0xff]
  if (meaning) return new StorageError(`the database ${file} ${meaning}`, { cause: error })
  if (error instanceof Error && 'code' in error && typeof error.code === 'string' && /^E[A-Z]+$/.test(error.code)) {
    return new StorageError(`the database ${file} cannot be opened: ${error.message}`, { cause: error })
  }
  return error instanceof Error ? error : new Error(String(error))
}

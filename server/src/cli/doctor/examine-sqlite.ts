import { accessSync, constants, existsSync } from 'node:fs'
import { dirname } from 'node:path'
import type { StorageError } from '../../storage/database.ts'
import { pendingMigrations } from '../../storage/migrations/migrations.ts'
import { inspectSqlite } from '../../storage/sqlite-inspect.ts'
import { isServerRunning } from '../../storage/sqlite-lock.ts'
import { broken, type Finding, note, ok } from './finding.ts'

/** Looks at a SQLite file without changing it, and says whether a server owns it. */
export function examineSqlite(file: string): Finding[] {
  if (!existsSync(file)) return [examineFolder(file), note('server', 'none has run on this database yet')]
  return [examineFile(file), examineOwner(file)]
}

function examineFolder(file: string): Finding {
  const existing = nearestFolder(dirname(file))
  return isWritable(existing)
    ? note('database', `there is none at ${file} yet; the first start makes it`)
    : broken('database', `there is none at ${file}, and it cannot be made: ${existing} is not writable`)
}

function examineFile(file: string): Finding {
  try {
    const { migration, damage } = inspectSqlite(file)
    if (damage !== null)
      return broken('database', `${file} is damaged (${damage}): restore a backup with "dramatis restore"`)
    const pending = pendingMigrations(migration).length
    if (!isWritable(file) || !isWritable(dirname(file)))
      return broken('database', `${file} or its folder is not writable`)
    if (pending > 0) return note('database', `${file} is sound; the next start brings it up to date (${pending} to do)`)
    return ok('database', `${file} is sound and up to date (migration ${migration})`)
  } catch (error) {
    return broken('database', (error as Error).message)
  }
}

function examineOwner(file: string): Finding {
  try {
    return isServerRunning(file)
      ? ok('server', 'one is running on this database')
      : note('server', 'none is running on this database')
  } catch (error) {
    return broken('server', `cannot tell whether one is running: ${(error as StorageError).message}`)
  }
}

function nearestFolder(folder: string): string {
  return existsSync(folder) || folder === dirname(folder) ? folder : nearestFolder(dirname(folder))
}

function isWritable(path: string): boolean {
  try {
    accessSync(path, constants.W_OK)
    return true
  } catch {
    return false
  }
}

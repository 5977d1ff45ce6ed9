import { existsSync } from 'node:fs'
import { dirname } from 'node:path'
import { holdsServerLock } from '../../storage/sqlite-backup.ts'
import { inspectSqlite } from '../../storage/sqlite-inspect.ts'
import { examineFolder, isWritable } from './examine-machine.ts'
import { broken, type Finding, note, ok } from './finding.ts'

/** Looks at a SQLite file without changing it, and says whether a server owns it. */
export function examineSqlite(file: string): Finding[] {
  const database = existsSync(file) ? examineFile(file) : note('database', `none at ${file} yet: a start makes it`)
  return [...examineFolder(dirname(file)), database, examineOwner(file)]
}

function examineFile(file: string): Finding {
  try {
    const { migration, damage, fault, pending } = inspectSqlite(file)
    if (damage !== null)
      return broken('database', `${file} is damaged (${damage}): restore a backup with "dramatis restore"`)
    if (fault !== null) return broken('database', fault)
    if (!isWritable(file)) return broken('database', `${file} is not writable`)
    if (pending > 0) return note('database', `${file} is sound; the next start brings it up to date (${pending} to do)`)
    return ok('database', `${file} is sound and up to date (migration ${migration})`)
  } catch (error) {
    return broken('database', (error as Error).message)
  }
}

function examineOwner(file: string): Finding {
  try {
    return holdsServerLock(file)
      ? ok('server', 'one is running on this database')
      : note('server', 'none is running on this database')
  } catch (error) {
    return broken('server', `cannot tell whether one is running: ${(error as Error).message}`)
  }
}

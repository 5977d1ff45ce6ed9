import { existsSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { holdsServerLock } from '../../storage/sqlite/backup.ts'
import { inspectSqlite } from '../../storage/sqlite/inspect.ts'
import { examineFolder, isWritable, whyUnwritable } from './examine-machine.ts'
import { broken, type Finding, note, ok } from './finding.ts'

/** Bytes up to which a file is read as a whole, which takes a second or so. */
const READ_BY_ITSELF = 256 * 1_024 * 1_024

/** Looks at a SQLite file without changing it, and says whether a server owns it. A large one is read only with `isDeep`. */
export function examineSqlite(file: string, isDeep: boolean): Finding[] {
  const database = existsSync(file)
    ? examineFile(file, isDeep)
    : note('database', `none at ${file} yet: a start makes it`)
  return [...examineFolder(dirname(file)), database, examineOwner(file)]
}

function examineFile(file: string, wantsDeep: boolean): Finding {
  try {
    const isDeep = wantsDeep || statSync(file).size <= READ_BY_ITSELF
    const { migration, damage, fault, pending } = inspectSqlite(file, { isDeep })
    const sound = isDeep ? 'is sound' : 'is large, and was not read (--deep does)'
    if (damage !== null)
      return broken('database', `${file} is damaged (${damage}): restore a backup with "dramatis restore"`)
    if (fault !== null) return broken('database', fault)
    if (!isWritable(file)) return broken('database', `${file} ${whyUnwritable(file)}`)
    if (pending > 0) return note('database', `${file} ${sound}; the next start brings it up to date (${pending} to do)`)
    return ok('database', `${file} ${sound} and up to date (migration ${migration})`)
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

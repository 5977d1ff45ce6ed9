import { closeSync, openSync, realpathSync, statSync } from 'node:fs'
import { dirname } from 'node:path'

/** Rights of files and folders that hold what people have said: nobody but their owner. Windows knows others. */
export const PRIVATE_FILE = 0o600
export const PRIVATE_FOLDER = 0o700

/** What every user of a machine may do with a file, and the right to pass through a folder. */
const OTHERS = 0o007
const OTHERS_PASS = 0o001

/**
 * Sees to it that there is a file, and that one which is made now has never been open to others. SQLite gives the log, the
 * index and the journal beside a database the rights of the database.
 */
export function makePrivateFile(file: string): void {
  try {
    closeSync(openSync(file, 'wx', PRIVATE_FILE))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  }
}

/** Whether every user of this machine can get at what is there; false for what is not, and on Windows. */
export function isOpenToAll(path: string): boolean {
  if (process.platform === 'win32') return false
  try {
    const real = realpathSync(path)
    return (statSync(real).mode & OTHERS) !== 0 && foldersAbove(real).every(isPassable)
  } catch {
    return false
  }
}

function isPassable(folder: string): boolean {
  return (statSync(folder).mode & OTHERS_PASS) !== 0
}

function foldersAbove(path: string): string[] {
  const folder = dirname(path)
  return folder === path ? [] : [folder, ...foldersAbove(folder)]
}

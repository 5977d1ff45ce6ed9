import { randomBytes } from 'node:crypto'
import {
  chmodSync,
  chownSync,
  closeSync,
  copyFileSync,
  existsSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { PRIVATE_FILE, PRIVATE_FOLDER } from '../../lib/process/private-files.ts'
import { StorageError } from '../database.ts'
import { explainSqliteError } from './errors.ts'
import { inspectSqlite, openOurs, primaryCode } from './inspect.ts'
import { dropBlobs } from './kept-blobs.ts'
import { acquireServerLock, type ServerLock } from './lock.ts'

const BUSY = 5
const READ_ONLY = 8
const FULL = 13
const NOT_A_DATABASE = 26

/** Files that belong to a database and stand beside it. */
const COMPANIONS = ['-wal', '-shm', '-journal']

export type BackupRequest = {
  /** The database; a server may be writing to it. */
  file: string
  target: string
  /** Replaces a target that is there already. */
  overwrite: boolean
}

/**
 * Writes everything that was committed when it started to a file of its own, which is complete, checked and on disk when
 * it appears under its name. Returns its size in bytes. Throws {@link StorageError} with a sentence for the operator.
 */
export function backupSqlite(request: BackupRequest): { bytes: number } {
  checkTarget(request)
  const { file, target } = request
  return withPartial(target, (partial) => {
    copyDatabase(file, partial)
    return publish(partial, target)
  })
}

/** Throws {@link StorageError} when the backup cannot be what is asked for. */
export function checkTarget({ file, target, overwrite }: BackupRequest): void {
  if (!existsSync(file)) throw new StorageError(`there is no database at ${file}`)
  refuseSameFile(file, target)
  if (existsSync(target)) {
    if (!statSync(target).isFile()) throw new StorageError(`${target} is not a file`)
    if (!overwrite) throw new StorageError(`${target} exists already: add --force to replace it`)
    if (holdsServerLock(target)) throw new StorageError(`a Dramatis server is using ${target}: name another file`)
  }
}

export type RestoreRequest = {
  /** Where the database belongs. */
  file: string
  source: string
  /** Replaces a database that is there already; it stays beside the new one under another name. */
  replace: boolean
  /** Milliseconds since the epoch, for that name. */
  at: number
}

/**
 * Puts a backup in the place of the database: at every moment the old one or the new one is there, whole. Returns the
 * size in bytes, and where the old one is now. Throws {@link StorageError} with a sentence for the operator: when a server
 * or another process uses the database, and when `source` is no sound database of this version of Dramatis or an older one.
 */
export function restoreSqlite(request: RestoreRequest): { bytes: number; former: string | null } {
  checkRestore(request)
  const { file } = request
  const lock = lockAgainstServers(file)
  let isDone = false
  try {
    const restored = replaceDatabase(request)
    isDone = true
    return restored
  } finally {
    // What has just been checked need not be checked again at the next start.
    if (isDone || !lock.wasUnclean) lock.release()
    else lock.releaseAsUnclean()
  }
}

/** Throws {@link StorageError} when `source` cannot be restored, or is not to replace what is there. */
export function checkRestore({ file, source, replace }: RestoreRequest): void {
  refuseSameFile(file, source)
  requireRestorable(source)
  if (!existsSync(file)) return
  if (holdsServerLock(file)) throw new StorageError(`a Dramatis server is using ${file}: stop it before you restore`)
  if (replace) return
  throw new StorageError(
    `there is a database at ${file}: add --force to replace it, it will be kept under another name`,
  )
}

function replaceDatabase(request: RestoreRequest): { bytes: number; former: string | null } {
  const { source, at } = request
  const isThere = existsSync(request.file)
  // The log stands beside the file that a link leads to, and that is the place to put the new one.
  const file = isThere ? realpathSync(request.file) : request.file
  removeLeftovers(file)
  return withPartial(file, (partial) => {
    copyDatabase(source, partial)
    dropBlobs(partial)
    if (isThere) takeOver(file, partial)
    const former = isThere ? `${file}.before-restore-${new Date(at).toISOString().replaceAll(/[:.]/g, '-')}` : null
    if (former !== null) setAside(file, former)
    return { ...publish(partial, file), former }
  })
}

function requireRestorable(source: string): void {
  const { migration, damage, fault } = inspectSqlite(source)
  if (damage !== null) throw new StorageError(`${source} is damaged (${damage})`)
  if (migration === 0) throw new StorageError(`${source} is an empty database`)
  if (fault !== null) throw new StorageError(`${source} cannot be used: ${fault}`)
}

function lockAgainstServers(file: string): ServerLock {
  try {
    mkdirSync(dirname(file), { recursive: true, mode: PRIVATE_FOLDER })
    return acquireServerLock(file)
  } catch (error) {
    if (error instanceof StorageError)
      throw new StorageError(`a Dramatis server is using ${file}: stop it before you restore`)
    throw explainSqliteError(error, file)
  }
}

/**
 * Copies by VACUUM INTO, which reads one snapshot and holds nobody up. SQLite's online backup starts over whenever
 * another process writes, so beside a busy server it might never end.
 */
export function copyDatabase(source: string, copy: string): void {
  createPrivately(copy)
  try {
    const connection = openOurs(source)
    try {
      connection.prepare('vacuum into ?').run(copy)
    } finally {
      connection.close()
    }
  } catch (error) {
    if (error instanceof StorageError) throw error
    throw explainSqliteError(error, primaryCode(error) === FULL ? copy : source)
  }
  const { damage } = inspectSqlite(copy)
  if (damage !== null) throw new StorageError(`the copy ${copy} is damaged (${damage}): nothing was changed`)
  sync(copy)
}

/** Empty, and closed to others: it will hold conversations. */
function createPrivately(file: string): void {
  try {
    closeSync(openSync(file, 'wx', PRIVATE_FILE))
  } catch (error) {
    throw unwritable(file, error)
  }
}

/** Gives `work` a name beside `target` that nobody else uses, and leaves nothing under it. */
function withPartial<T>(target: string, work: (partial: string) => T): T {
  const partial = partialOf(target)
  try {
    return work(partial)
  } finally {
    removePartial(partial)
  }
}

export function partialOf(target: string): string {
  return `${target}.${randomBytes(4).toString('hex')}.partial`
}

export function removePartial(partial: string): void {
  for (const suffix of ['', ...COMPANIONS]) rmSync(partial + suffix, { force: true })
}

/** Whoever restores is the only one to write beside the database, so what looks like half a copy is of one that was killed. */
function removeLeftovers(file: string): void {
  for (const name of readdirSync(dirname(file))) {
    const isOurs = name.startsWith(`${basename(file)}.`)
    const rest = name.slice(basename(file).length)
    if (isOurs && /^\.[0-9a-f]{8}\.partial(-[a-z]+)?$/.test(rest)) rmSync(join(dirname(file), name), { force: true })
  }
}

/** Gives what is finished its name. */
export function publish(partial: string, target: string): { bytes: number } {
  try {
    // A log that is left of another database would be applied to this one.
    for (const companion of COMPANIONS) rmSync(target + companion, { force: true })
    renameSync(partial, target)
    // Windows does not let anybody do this to a folder.
    if (process.platform !== 'win32') sync(dirname(target), 'r')
    return { bytes: statSync(target).size }
  } catch (error) {
    throw unwritable(target, error)
  }
}

/** Whoever could open the old file can open the new one. */
function takeOver(old: string, replacement: string): void {
  const { mode, uid, gid } = statSync(old)
  chmodSync(replacement, mode & 0o777)
  try {
    chownSync(replacement, uid, gid)
  } catch {
    // Only root may give files away; everybody else owns both.
  }
}

function setAside(file: string, former: string): void {
  foldLog(file)
  try {
    linkSync(file, former)
  } catch {
    // Not every file system has hard links. Renaming would leave a moment without a database.
    copyFileSync(file, former)
    sync(former)
  }
  for (const companion of COMPANIONS) {
    if (existsSync(file + companion)) renameSync(file + companion, former + companion)
  }
}

/** Moves what stands in the write-ahead log into the file, which is whole without it then. */
function foldLog(file: string): void {
  try {
    const connection = new DatabaseSync(file, { timeout: 1_000 })
    try {
      // SQLite grants this only to the one connection there is.
      connection.exec('pragma journal_mode = delete')
    } finally {
      connection.close()
    }
  } catch (error) {
    if (primaryCode(error) === BUSY) {
      throw new StorageError(`another process has ${file} open: end it before you restore`)
    }
    // Too damaged to be opened, which is why it gets replaced: its log is kept beside it as it is.
  }
}

/**
 * True while a server owns `file`. Only looks: taking the lock for a moment would leave word that a server had not stopped
 * cleanly. Throws what SQLite throws when the lock cannot be read.
 */
export function holdsServerLock(file: string): boolean {
  const lockFile = `${file}.lock`
  if (!existsSync(lockFile)) return false
  try {
    const connection = new DatabaseSync(lockFile, { readOnly: true, timeout: 0 })
    try {
      connection.prepare('pragma user_version').get()
      return false
    } finally {
      connection.close()
    }
  } catch (error) {
    const code = primaryCode(error)
    if (code === BUSY) return true
    // The first is what an owner leaves that was killed while it took the lock, the second is no lock of ours.
    if (code === READ_ONLY || code === NOT_A_DATABASE) return false
    throw explainSqliteError(error, lockFile)
  }
}

function refuseSameFile(named: string, other: string): void {
  const file = existsSync(named) ? realpathSync(named) : named
  const isCompanion = [...COMPANIONS, '.lock'].some((companion) => isSameFile(file + companion, other))
  if (isCompanion || isSameFile(file, other))
    throw new StorageError(`${other} is the database itself: name another file`)
}

function isSameFile(a: string, b: string): boolean {
  if (a === b) return true
  const [first, second] = [a, b].map((file) => statSync(file, { throwIfNoEntry: false }))
  return first !== undefined && first.ino === second?.ino && first.dev === second.dev
}

/** Sees to it that a file, or a folder's list of names, is on disk. */
export function sync(path: string, flags: 'r' | 'r+' = 'r+'): void {
  const descriptor = openSync(path, flags)
  try {
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}

const REASONS: Record<string, string> = {
  ENOENT: 'the folder does not exist',
  ENOTDIR: 'the folder does not exist',
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  EROFS: 'the file system is read-only',
  ENOSPC: 'the disk is full',
}

function unwritable(file: string, error: unknown): StorageError {
  const { code = '', message } = error as NodeJS.ErrnoException
  return new StorageError(`${file} cannot be written: ${REASONS[code] ?? message}`, { cause: error })
}

import { randomBytes } from 'node:crypto'
import { accessSync, closeSync, constants, openSync, rmSync } from 'node:fs'
import { open, rm, statfs } from 'node:fs/promises'
import { dirname, join } from 'node:path'

/** Why nothing can be written to a disk. */
export type DiskObstacle = 'full' | 'read-only' | 'failing'

/** Bytes that are free on a disk that is certainly not full: any request fits, and so does what follows from it. */
const PLENTY = 16 * 1_024 * 1_024
/** Bytes that are written to find out about the others: two of the largest messages. */
const TRIED = 256 * 1_024

const MEANING: Readonly<Record<string, DiskObstacle>> = {
  ENOSPC: 'full',
  EDQUOT: 'full',
  EROFS: 'read-only',
  EIO: 'failing',
}

/** What an error of the file system says about its disk; null when it is about something else. */
export function diskObstacleOf(error: unknown): DiskObstacle | null {
  return MEANING[(error as NodeJS.ErrnoException | null)?.code ?? ''] ?? null
}

/** The obstacle as a part of a sentence about `what` is kept there, such as "the database". */
export function describeDiskObstacle(obstacle: DiskObstacle, what: string): string {
  if (obstacle === 'full') return `the disk of ${what} is full`
  if (obstacle === 'read-only') return `${what} cannot be written (read-only)`
  return `the disk of ${what} cannot be written (input/output error)`
}

/** Whether the disk that `path` is on, or would be, was mounted read-only. */
export function isOnReadOnlyDisk(path: string): boolean {
  try {
    accessSync(path, constants.W_OK)
    return false
  } catch (error) {
    const isMissing = (error as NodeJS.ErrnoException).code === 'ENOENT' && dirname(path) !== path
    return isMissing ? isOnReadOnlyDisk(dirname(path)) : diskObstacleOf(error) === 'read-only'
  }
}

/** Whether no file can be made in a folder for that reason: a disk that has failed often looks writable until it is tried. */
export function hasBecomeReadOnly(folder: string): boolean {
  const path = nameIn(folder)
  try {
    closeSync(openSync(path, 'wx', 0o600))
    rmSync(path, { force: true })
    return false
  } catch (error) {
    return diskObstacleOf(error) === 'read-only'
  }
}

/**
 * What keeps files from being written in a folder that is there; null when nothing does. Asks the system, which costs
 * microseconds, and tries it with a file only when there is little room, or when a write has failed (`isSuspect`): quotas
 * and some disks show in no other way.
 */
export async function findDiskObstacle(folder: string, isSuspect: boolean): Promise<DiskObstacle | null> {
  if (isOnReadOnlyDisk(folder)) return 'read-only'
  if (!isSuspect && (await hasPlenty(folder))) return null
  return tryToWrite(folder)
}

async function hasPlenty(folder: string): Promise<boolean> {
  try {
    const { bavail, bsize } = await statfs(folder)
    return bavail * bsize >= PLENTY
  } catch {
    return false
  }
}

async function tryToWrite(folder: string): Promise<DiskObstacle | null> {
  const path = nameIn(folder)
  try {
    const file = await open(path, 'wx', 0o600)
    try {
      await file.writeFile(Buffer.alloc(TRIED))
      await file.datasync()
    } finally {
      await file.close()
    }
    return null
  } catch (error) {
    return diskObstacleOf(error)
  } finally {
    await rm(path, { force: true }).catch(() => {})
  }
}

function nameIn(folder: string): string {
  return join(folder, `.room-${randomBytes(8).toString('hex')}`)
}

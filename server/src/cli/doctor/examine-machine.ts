import { accessSync, constants, existsSync, statfsSync } from 'node:fs'
import { dirname } from 'node:path'
import { isOnReadOnlyDisk } from '../../lib/process/disk.ts'
import { formatBytes } from '../sqlite-file.ts'
import { broken, type Finding, note, ok } from './finding.ts'

const MIB = 1024 * 1024

/** SQLite's log alone may grow to some megabytes between two checkpoints. */
const TOO_LITTLE_BYTES = 64 * MIB
const LITTLE_BYTES = 1024 * MIB

/** Whether the folder of the database can be written to, or made, and how much there is room for. */
export function examineFolder(folder: string): Finding[] {
  const existing = nearestFolder(folder)
  const writable = isWritable(existing)
    ? ok('data folder', existing === folder ? `${folder} is writable` : `${folder} is not there yet and can be made`)
    : broken('data folder', `${existing} ${whyUnwritable(existing)}`)
  return [writable, examineRoom(existing)]
}

function examineRoom(folder: string): Finding {
  try {
    const { bavail, bsize } = statfsSync(folder)
    return describeRoom(bavail * bsize, folder)
  } catch (error) {
    return note('disk', `cannot tell how much is free at ${folder}: ${(error as Error).message}`)
  }
}

/** What `bytes` of free space mean. */
export function describeRoom(bytes: number, folder: string): Finding {
  const text = `${formatBytes(bytes)} free at ${folder}`
  if (bytes < TOO_LITTLE_BYTES) return broken('disk', `only ${text}`)
  return bytes < LITTLE_BYTES ? note('disk', `only ${text}`) : ok('disk', text)
}

export function isWritable(path: string): boolean {
  try {
    accessSync(path, constants.W_OK)
    return true
  } catch {
    return false
  }
}

/** Why that is so, as the end of a sentence about `path`. */
export function whyUnwritable(path: string): string {
  return isOnReadOnlyDisk(path) ? 'cannot be written: its disk is read-only' : 'is not writable for this user'
}

/** Whether the folder of the blobs, once there is one, can be written to. */
export function examineBlobs(folder: string): Finding[] {
  if (!existsSync(folder)) return []
  return isWritable(folder)
    ? [ok('files', `${folder} is writable`), examineRoom(folder)]
    : [broken('files', `${folder} ${whyUnwritable(folder)}`)]
}

function nearestFolder(folder: string): string {
  return existsSync(folder) || folder === dirname(folder) ? folder : nearestFolder(dirname(folder))
}

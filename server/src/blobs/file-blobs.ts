import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { diskObstacleOf, findDiskObstacle } from '../lib/process/disk.ts'
import { PRIVATE_FILE, PRIVATE_FOLDER } from '../lib/process/private-files.ts'
import { BlobError, type BlobStore, checkKey, checkPrefix } from './blob-store.ts'

/** Beside the blobs and on the same disk, so that a rename is one step. No key begins with a dot and ends with one. */
const UNFINISHED = '.unfinished'
/** Milliseconds after which a file that nobody has finished is left over from a crash. */
const LEFT_OVER_MS = 3_600_000

/**
 * Blobs as files below `directory`. A blob is written to a file of its own, forced to the disk and then renamed, so that
 * a key has all of its bytes or none. The folder comes into being with the first blob; nobody but its owner may enter it.
 */
export function createFileBlobs(directory: string): BlobStore {
  const unfinished = join(directory, UNFINISHED)
  let hasCleared = false
  /** The last blob could not be stored, and its disk is to blame. */
  let isSuspect = false

  async function write(key: string, bytes: Uint8Array): Promise<void> {
    const path = join(directory, key)
    const draft = join(unfinished, randomBytes(12).toString('hex'))
    await makeFolder(directory, unfinished)
    if (!hasCleared) {
      hasCleared = true
      await clearLeftOvers(unfinished)
    }
    try {
      const file = await open(draft, 'wx', PRIVATE_FILE)
      try {
        await file.writeFile(bytes)
        await file.sync()
      } finally {
        await file.close()
      }
      await makeFolder(directory, dirname(path))
      await rename(draft, path)
      await syncFolder(dirname(path))
    } catch (error) {
      await rm(draft, { force: true })
      throw error
    }
  }

  return {
    async put(key, bytes) {
      checkKey(key)
      try {
        await inWords(() => write(key, bytes))
        isSuspect = false
      } catch (error) {
        isSuspect = error instanceof BlobError && error.obstacle !== null
        throw error
      }
    },
    async get(key) {
      checkKey(key)
      return inWords(() => orIfMissing(readFile(join(directory, key)), null))
    },
    async delete(key) {
      checkKey(key)
      await inWords(() => rm(join(directory, key), { force: true }))
    },
    async deletePrefix(prefix) {
      checkPrefix(prefix)
      await inWords(() => rm(join(directory, prefix), { recursive: true, force: true }))
    },
    async exists(key) {
      checkKey(key)
      return inWords(async () => (await orIfMissing(stat(join(directory, key)), null)) !== null)
    },
    async findObstacle() {
      // It comes with the first blob: who never stores one can do without a place for it.
      if (!existsSync(directory)) return null
      const obstacle = await findDiskObstacle(directory, isSuspect)
      isSuspect &&= obstacle !== null
      return obstacle
    },
    describe: () => directory,
  }
}

/** Makes a folder and those above it up to `root`, each of them so that it survives a crash. */
async function makeFolder(root: string, folder: string): Promise<void> {
  const made = await mkdir(folder, { recursive: true, mode: PRIVATE_FOLDER })
  if (made === undefined) return
  for (let above = dirname(folder); ; above = dirname(above)) {
    await syncFolder(above)
    if (above.length <= dirname(made).length || above.length < root.length) return
  }
}

async function syncFolder(folder: string): Promise<void> {
  // Windows has no way to do this, and does not need it.
  if (process.platform === 'win32') return
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

async function clearLeftOvers(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    const path = join(folder, name)
    const found = await orIfMissing(stat(path), null)
    if (found && Date.now() - found.mtimeMs > LEFT_OVER_MS) await rm(path, { force: true })
  }
}

async function orIfMissing<T, F>(found: Promise<T>, missing: F): Promise<T | F> {
  try {
    return await found
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return missing
    throw error
  }
}

async function inWords<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw new BlobError(`the folder of the blobs cannot be used: ${(error as Error).message}`, {
      cause: error,
      obstacle: diskObstacleOf(error),
    })
  }
}

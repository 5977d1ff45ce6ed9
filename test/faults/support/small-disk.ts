import { execFileSync } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A disk of its own, small enough to be filled. */
export type SmallDisk = {
  directory: string
  fill(): void
  free(): void
  makeReadOnly(): void
  remove(): void
}

/** Mounts a small file system in memory; says why where that cannot be done. */
export function mountSmallDisk(megabytes: number): SmallDisk | { missing: string } {
  const directory = mkdtempSync(join(tmpdir(), 'dramatis-disk-'))
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m`, 'tmpfs', directory], { stdio: 'pipe' })
  } catch (error) {
    rmSync(directory, { recursive: true, force: true })
    return { missing: `no small disk can be mounted here (${(error as Error).message.split('\n')[0]})` }
  }
  const filler = join(directory, 'filler')
  return {
    directory,
    fill() {
      const file = openSync(filler, 'a')
      // Ever smaller pieces, until not a byte fits.
      for (let size = 1 << 20; size >= 1; ) {
        try {
          writeSync(file, Buffer.alloc(size))
        } catch {
          size = Math.floor(size / 2)
        }
      }
      closeSync(file)
    },
    free: () => rmSync(filler, { force: true }),
    makeReadOnly: () => void execFileSync('mount', ['-o', 'remount,ro', directory], { stdio: 'pipe' }),
    remove() {
      execFileSync('umount', [directory], { stdio: 'pipe' })
      rmSync(directory, { recursive: true, force: true })
    },
  }
}

/** Where a database on this disk is. */
export function placeOn(directory: string) {
  const file = join(directory, 'dramatis.db')
  return { location: { kind: 'sqlite' as const, file }, url: `file:${file}`, directory, remove: async () => {} }
}

import { execFileSync } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, rmSync, truncateSync, writeFileSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { TestContext } from 'vitest'

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
  return mountDisk((directory) =>
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m`, 'tmpfs', directory], { stdio: 'pipe' }),
  )
}

/** The same in a file, with a file system that becomes read-only when its disk fails, whoever has files of it open. */
export function mountFailingDisk(megabytes: number): (SmallDisk & { fail(): void }) | { missing: string } {
  const image = `${mkdtempSync(join(tmpdir(), 'dramatis-image-'))}/disk`
  const disk = mountDisk((directory) => {
    writeFileSync(image, '')
    truncateSync(image, megabytes << 20)
    execFileSync('mkfs.ext4', ['-q', image], { stdio: 'pipe' })
    execFileSync('mount', ['-o', 'loop', image, directory], { stdio: 'pipe' })
  })
  const removeImage = () => rmSync(dirname(image), { recursive: true, force: true })
  if ('missing' in disk) {
    removeImage()
    return disk
  }
  return {
    ...disk,
    fail: () => void execFileSync('mount', ['-o', 'remount,abort', disk.directory], { stdio: 'pipe' }),
    remove() {
      disk.remove()
      removeImage()
    },
  }
}

/** The disk, or what stands in the way: then the test is skipped and says so. */
export function diskOrSkip<Disk extends SmallDisk>(context: TestContext, disk: Disk | { missing: string }): Disk {
  if (!('missing' in disk)) return disk
  console.warn(`SKIPPED: ${disk.missing}`)
  context.skip(disk.missing)
  throw new Error('unreachable')
}

function mountDisk(mount: (directory: string) => unknown): SmallDisk | { missing: string } {
  const directory = mkdtempSync(join(tmpdir(), 'dramatis-disk-'))
  try {
    mount(directory)
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

import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import { freemem, tmpdir } from 'node:os'
import { join } from 'node:path'

const IN_MEMORY = '/dev/shm'
/** Bytes: several times what a run has there at once. */
const ROOM = 4 * 1_024 ** 3
const PREFIX = 'dramatis-tests-'

/**
 * Makes the folder for all files of a run, which whoever calls it removes. It is in memory where there is room: nothing
 * is tested about the disk of the machine, and on one that is slow to sync most of a run is waiting for it. What runs
 * that were killed have left there is removed.
 */
export function createTemporaryFolder(): string {
  if (!isMemoryUsable()) return mkdtempSync(join(tmpdir(), PREFIX))
  for (const name of readdirSync(IN_MEMORY)) {
    const [, pid] = new RegExp(`^${PREFIX}(\\d+)-`).exec(name) ?? []
    if (pid !== undefined && !isAlive(Number(pid))) rmSync(join(IN_MEMORY, name), { recursive: true, force: true })
  }
  return mkdtempSync(join(IN_MEMORY, `${PREFIX}${process.pid}-`))
}

/** Some tests start programs from their folder, which a container may forbid there. */
function isMemoryUsable(): boolean {
  const probe = join(IN_MEMORY, `dramatis-probe-${process.pid}`)
  try {
    const { bavail, bsize } = statfsSync(IN_MEMORY)
    if (bavail * bsize < ROOM || freemem() < ROOM) return false
    writeFileSync(probe, '#!/bin/sh\n', { mode: 0o700 })
    execFileSync(probe)
    return true
  } catch {
    return false
  } finally {
    rmSync(probe, { force: true })
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

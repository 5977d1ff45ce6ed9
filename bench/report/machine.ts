import { closeSync, fsyncSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs'
import { cpus, loadavg, release, tmpdir, totalmem, type } from 'node:os'
import { join } from 'node:path'
import { numberText } from './numbers.ts'
import { percentile } from './statistics.ts'

/** What else the machine is doing: the measurements of a busy one say little. */
export const loadBefore = (): string => `load ${numberText(loadavg()[0] ?? 0)} when it began`

/** On what was measured, in a few phrases. */
export function describeMachine(): string[] {
  const processors = cpus()
  return [
    `${processors.length} x ${processors[0]?.model.trim() ?? 'unknown processor'}`,
    `${numberText(totalmem() / 1024 ** 3)} GiB of memory`,
    `${type()} ${release()}`,
    `${fileSystemOf(tmpdir())}, fsync of 4 KiB ${numberText(fsyncMs())} ms (p50)`,
    `Node.js ${process.version}`,
  ]
}

/** The kind of file system that a folder is on. */
function fileSystemOf(folder: string): string {
  const mounts = readFileSync('/proc/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' '))
    .filter(([, path = '-']) => folder === path || folder.startsWith(path.endsWith('/') ? path : `${path}/`))
    .sort(([, a = ''], [, b = '']) => b.length - a.length)
  return mounts[0]?.[2] ?? 'unknown file system'
}

const FSYNCS = 200

/** What full durability costs here. */
function fsyncMs(): number {
  const directory = mkdtempSync(join(tmpdir(), 'dramatis-bench-fsync-'))
  const file = openSync(join(directory, 'file'), 'w')
  const block = Buffer.alloc(4_096)
  const times = Array.from({ length: FSYNCS }, () => {
    writeSync(file, block)
    const startedAt = performance.now()
    fsyncSync(file)
    return performance.now() - startedAt
  })
  closeSync(file)
  rmSync(directory, { recursive: true })
  return percentile(times, 0.5)
}

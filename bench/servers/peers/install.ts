import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'

const SOURCES = join(import.meta.dirname, '../../peers')
const CACHE = join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'dramatis-bench')
const INSTALL_MS = 20 * 60_000
const STAMP = '.installed'

/** Where a peer is, or will be: outside the tree, because together they are many times as large as the server. */
export const peerFolder = (name: string): string => join(CACHE, name)

/**
 * Puts a peer's program there and installs its packages, exactly those of its lock file, unless they are there. Of their
 * scripts only those of `rebuilds` run. Throws with what npm said.
 */
export function installPeer(name: string, rebuilds: readonly string[] = []): string {
  const source = join(SOURCES, name)
  const folder = peerFolder(name)
  const lock = createHash('sha256')
    .update(readFileSync(join(source, 'package-lock.json')))
    .digest('hex')
  mkdirSync(folder, { recursive: true })
  const stamp = join(folder, STAMP)
  if (!existsSync(stamp) || readFileSync(stamp, 'utf8') !== lock) {
    rmSync(stamp, { force: true })
    cpSync(source, folder, { recursive: true })
    runNpm(folder, ['ci', '--ignore-scripts'])
    if (rebuilds.length > 0) runNpm(folder, ['rebuild', ...rebuilds])
    writeFileSync(stamp, lock)
  }
  // The program may have changed without its packages.
  for (const file of readdirSync(source)) cpSync(join(source, file), join(folder, file), { recursive: true })
  return folder
}

function runNpm(folder: string, args: readonly string[]): void {
  const { status, stderr, error } = spawnSync('npm', [...args, '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: folder,
    encoding: 'utf8',
    timeout: INSTALL_MS,
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  if (error) throw new Error(`npm ${args[0]}: ${error.message}`)
  if (status !== 0) throw new Error(`npm ${args[0]} has failed: ${stderr.trim().split('\n').slice(0, 3).join(' ')}`)
}

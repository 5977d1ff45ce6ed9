import { readdirSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { isOpenToAll } from '../lib/process/private-files.ts'
import type { Config } from './config.ts'

/**
 * A sentence about what of this server's data every user of the machine can read, with the command that ends it; null when
 * there is nothing. What is made now is closed: this is about what older versions have left, and what was copied here.
 */
export function describeExposedFiles(config: Pick<Config, 'database' | 'blobs' | 'providers'>): string | null {
  const exposed = placesOf(config).filter(isOpenToAll)
  if (exposed.length === 0) return null
  const names = exposed.map((path) => `'${path.replaceAll("'", "'\\''")}'`).join(' ')
  return `every user of this machine can read data of this server; "chmod -R o-rwx ${names}" ends that`
}

function placesOf({ database, blobs, providers }: Pick<Config, 'database' | 'blobs' | 'providers'>): string[] {
  return [
    ...(database.kind === 'sqlite' ? filesOf(database.file) : []),
    ...(blobs.kind === 'files' ? [blobs.directory] : []),
    providers.local.directory,
  ]
}

/** The database with what stands beside it under its name: log, index, lock, and what a restore has put aside. */
function filesOf(file: string): string[] {
  const folder = dirname(file)
  const name = basename(file)
  try {
    const ours = readdirSync(folder).filter((one) => one.startsWith(name) && /^(?:$|[-.])/.test(one.slice(name.length)))
    return ours.map((one) => join(folder, one))
  } catch {
    return []
  }
}

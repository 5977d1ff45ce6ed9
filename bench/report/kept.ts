import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const FOLDER = join(import.meta.dirname, '../../node_modules/.cache/dramatis-bench')

/** Keeps the raw results of a run as JSON, which is not part of the repository. Returns where. */
export function keepResults(name: string, results: unknown): string {
  const file = join(FOLDER, `${name}.json`)
  mkdirSync(FOLDER, { recursive: true })
  writeFileSync(file, JSON.stringify(results, null, 1))
  return file
}

/** What was kept last; null where nothing was. */
export function keptResults<Results>(name: string): Results | null {
  try {
    return JSON.parse(readFileSync(join(FOLDER, `${name}.json`), 'utf8'))
  } catch {
    return null
  }
}

import { randomUUID } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { setTimeout as wait } from 'node:timers/promises'

/** The variable by which what a process has started is known. */
const NAME = 'MCP_PROCESS_MARK'
/** Looks for what is left, and milliseconds between them: who is being ended may start another. */
const MOST_LOOKS = 20
const BETWEEN_LOOKS_MS = 20

/** What a process has in its environment, and hands on to whatever it starts. */
export type Mark = { environment: Record<string, string> }

export function createMark(): Mark {
  return { environment: { [NAME]: randomUUID() } }
}

/**
 * Ends all processes with a mark. A group is ended by one signal, but who has left it (`setsid`) is in none that is known, and
 * its parent may have gone: only its environment tells whose it was. On Linux, where others' environments can be
 * read; elsewhere it does nothing. One that has thrown its environment away is not found. Never rejects.
 */
export async function endMarked({ environment }: Mark): Promise<void> {
  if (process.platform !== 'linux') return
  const entry = `${NAME}=${environment[NAME]}`
  for (let look = 0; look < MOST_LOOKS; look++) {
    const found = await findWith(entry)
    if (found.length === 0) return
    for (const pid of found) end(pid)
    await wait(BETWEEN_LOOKS_MS, undefined, { ref: false })
  }
}

async function findWith(entry: string): Promise<number[]> {
  const names = await readdir('/proc').catch(() => [])
  const found: number[] = []
  // One after the other: there may be thousands, and each is an open file.
  for (const name of names) {
    if (/^\d+$/.test(name) && (await hasEntry(name, entry))) found.push(Number(name))
  }
  return found
}

/** False for a process that has gone, and for those of other users, whose environment is none of ours. */
async function hasEntry(pid: string, entry: string): Promise<boolean> {
  const environment = await readFile(`/proc/${pid}/environ`, 'latin1').catch(() => '')
  return environment.split('\0').includes(entry)
}

function end(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It has gone meanwhile.
  }
}

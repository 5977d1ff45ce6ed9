import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { ADMIN_KEY } from '../../support/app.ts'
import type { TestDatabase } from '../../support/databases.ts'
import { environmentOf } from '../../support/process.ts'

const MAIN = join(import.meta.dirname, '../../../server/src/main.ts')

/** Compiled code outlives the processes that are killed, so that the many starts of these tests are quick ones. */
const COMPILE_CACHE = join(import.meta.dirname, '../../../node_modules/.cache/dramatis')

export type Ended = { code: number | null; signal: NodeJS.Signals | null }

/** A server in a process of its own. */
export type FaultServer = {
  pid: number
  /** Where it listens; before it does there is none. */
  url: string
  /** What it has written, to both outputs. */
  readonly output: string
  /** Null while it lives, and for one that a signal has ended. */
  readonly exitCode: number | null
  signal(name: NodeJS.Signals): void
  /** Resolves when the process is gone. */
  ended: Promise<Ended>
}

/** The environment of a server on this place whose models are at `providerUrl`. */
export function serverEnvironment(
  place: TestDatabase,
  providerUrl: string,
  extra: Record<string, string> = {},
): Record<string, string> {
  return environmentOf(place, {
    PORT: '0',
    DRAMATIS_API_KEY: ADMIN_KEY,
    DRAMATIS_LOG_LEVEL: 'warn',
    // Many servers start at once here, on few processors: what is slow about them is not their own load.
    DRAMATIS_SHED_DELAY_MS: '0',
    OPENAI_COMPATIBLE_BASE_URL: `${providerUrl}/v1`,
    OPENAI_COMPATIBLE_MODEL: 'm',
    ...extra,
  })
}

/** Starts the process and returns at once. */
export function spawnServer(env: Record<string, string>): FaultServer {
  const child: ChildProcess = spawn(process.execPath, [MAIN], {
    env: { PATH: process.env['PATH'], TMPDIR: process.env['TMPDIR'], NODE_COMPILE_CACHE: COMPILE_CACHE, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text: string) => {
      output += text
    })
  }
  return {
    pid: child.pid as number,
    url: '',
    get output() {
      return output
    },
    get exitCode() {
      return child.exitCode
    },
    signal: (name) => void child.kill(name),
    ended: once(child, 'close').then(([code, signal]): Ended => ({ code, signal })),
  }
}

/** Starts a server and resolves when it takes requests. Rejects with what it said when it ends instead. */
export async function startFaultServer(env: Record<string, string>): Promise<FaultServer> {
  const server = spawnServer(env)
  let hasEnded = false
  void server.ended.then(() => {
    hasEnded = true
  })
  for (;;) {
    const found = /listening on (http:\S+)/.exec(server.output)
    // Assigned, not spread: the output grows.
    if (found?.[1]) return Object.assign(server, { url: found[1] })
    if (hasEnded) throw new Error(`the server ended instead of starting: ${server.output.slice(-2_000)}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

/** Ends a server the hard way and waits until it is gone. */
export async function kill(server: FaultServer): Promise<void> {
  server.signal('SIGKILL')
  await server.ended
}

/** Ends a server as an operator does and waits until it is gone. */
export async function stop(server: FaultServer): Promise<Ended> {
  server.signal('SIGTERM')
  return server.ended
}

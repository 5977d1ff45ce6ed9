import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { ADMIN_KEY } from './app.ts'
import type { TestDatabase } from './databases.ts'

const CLI = join(import.meta.dirname, '../../server/bin/dramatis.js')

export type Outcome = { code: number | null; signal: NodeJS.Signals | null; stdout: string; stderr: string }

/** The command line in a process of its own. */
export type CliProcess = {
  pid: number
  /** What it has written so far. */
  readonly stdout: string
  readonly stderr: string
  /** Resolves when what it has written, to either output, matches; rejects when it ends without. */
  waitFor(pattern: RegExp): Promise<RegExpExecArray>
  type(text: string): void
  /** The end of the input. */
  endInput(): void
  kill(signal: NodeJS.Signals): void
  ended: Promise<Outcome>
}

/** What a process on this place and nobody else's has in its environment. */
export function environmentOf(place: TestDatabase, extra: Record<string, string> = {}): Record<string, string> {
  return {
    DRAMATIS_DATA_DIR: place.directory,
    DRAMATIS_DATABASE_URL: place.url,
    DRAMATIS_SHUTDOWN_GRACE_MS: '200',
    // A machine that runs many tests at once is late, and that is not what they test.
    DRAMATIS_SHED_DELAY_MS: '0',
    // A port where nothing answers: tests must not find the Ollama of whoever runs them.
    OLLAMA_HOST: 'http://127.0.0.1:9',
    ...extra,
  }
}

/** Starts `dramatis` with these arguments and nothing of this process's environment but the path. */
export function startCli(args: readonly string[], env: Record<string, string>, directory?: string): CliProcess {
  const child = spawn(process.execPath, [CLI, ...args], {
    env: { PATH: process.env['PATH'], TMPDIR: process.env['TMPDIR'], ...env },
    ...(directory === undefined ? {} : { cwd: directory }),
  })
  child.stdin.on('error', () => {})
  const output = collect(child)
  const ended = once(child, 'close').then(([code, signal]): Outcome => ({ code, signal, ...output.texts }))

  return {
    pid: child.pid as number,
    get stdout() {
      return output.texts.stdout
    },
    get stderr() {
      return output.texts.stderr
    },
    async waitFor(pattern) {
      for (;;) {
        const found = pattern.exec(output.texts.stdout) ?? pattern.exec(output.texts.stderr)
        if (found) return found
        if (child.exitCode !== null || child.signalCode !== null) {
          throw new Error(`ended without ${pattern}: ${JSON.stringify(output.texts)}`)
        }
        await output.next()
      }
    },
    type: (text) => void child.stdin.write(text),
    endInput: () => void child.stdin.end(),
    kill: (signal) => void child.kill(signal),
    ended,
  }
}

/** Runs a command to its end, with `input` as its whole input. */
export async function runCli(args: readonly string[], env: Record<string, string>, input = ''): Promise<Outcome> {
  const cli = startCli(args, env)
  cli.type(input)
  cli.endInput()
  return cli.ended
}

export type ServerProcess = CliProcess & {
  url: string
  call(method: string, path: string, body?: unknown, key?: string): Promise<{ status: number; body: unknown }>
}

/** A server in a process of its own, on a place that stays; resolves when it listens. */
export async function startServer(place: TestDatabase, env: Record<string, string> = {}): Promise<ServerProcess> {
  const cli = startCli(['start'], environmentOf(place, { PORT: '0', DRAMATIS_API_KEY: ADMIN_KEY, ...env }))
  const [, url = ''] = await cli.waitFor(/listening on (http:\S+)\n[\s\S]*Or talk in the terminal/)
  const call: ServerProcess['call'] = async (method, path, body, key = ADMIN_KEY) => {
    const response = await fetch(url + path, {
      method,
      headers: { 'x-hl-api-key': key, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    return { status: response.status, body: await response.json() }
  }
  // Not spread: the outputs grow.
  return Object.assign(cli, { url, call })
}

function collect(child: ChildProcessWithoutNullStreams) {
  const texts = { stdout: '', stderr: '' }
  let waiting: (() => void)[] = []
  const wake = () => {
    const all = waiting
    waiting = []
    for (const resolve of all) resolve()
  }
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (text: string) => {
      texts[name] += text
      wake()
    })
  }
  child.on('close', wake)
  return { texts, next: () => new Promise<void>((resolve) => waiting.push(resolve)) }
}

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { createUser } from '../load/user.ts'
import { createWorld } from '../load/world.ts'
import { createPrinter, type Wire } from '../wire/call.ts'

/** How a process is started. Its environment has nothing of ours but the path. */
export type Command = {
  command?: string
  args: readonly string[]
  env: Readonly<Record<string, string>>
  directory: string
  wire: Wire
  until: 'first turn' | 'ready'
  /** Milliseconds it has for that. */
  patienceMs?: number
}

export type StartedProcess = {
  pid: number
  startMs: number
  stop(signal?: NodeJS.Signals): Promise<void>
}

const LOOK_AGAIN_MS = 3
const STOP_PATIENCE_MS = 15_000

/** What has been started and has not ended: nothing is left behind when the benchmark is interrupted. */
const started = new Set<ChildProcess>()
process.on('exit', () => {
  for (const child of started) signalGroup(child, 'SIGKILL')
})

/** Starts a server and resolves when it has answered. Throws with the end of its output when it does not. */
export async function startProcess(command: Command): Promise<StartedProcess> {
  const log = join(command.directory, 'output.log')
  // A file, as a service manager has it: a pipe would cost the process at its other end.
  const output = openSync(log, 'a')
  const startedAt = performance.now()
  const child = spawn(command.command ?? process.execPath, command.args, {
    cwd: command.directory,
    env: { PATH: process.env['PATH'] ?? '', HOME: command.directory, ...command.env },
    stdio: ['ignore', output, output],
    // A group of its own, so that what it has started ends with it.
    detached: true,
  })
  closeSync(output)
  started.add(child)
  child.once('exit', () => void started.delete(child))
  try {
    const deadline = startedAt + (command.patienceMs ?? 30_000)
    await untilIt(command.until === 'ready' ? isReady : takeFirstTurn, { child, wire: command.wire, deadline })
  } catch (error) {
    signalGroup(child, 'SIGKILL')
    throw new Error(`${(error as Error).message}\n${readFileSync(log, 'utf8').slice(-2_000)}`)
  }
  return {
    pid: child.pid as number,
    startMs: performance.now() - startedAt,
    stop: (signal = 'SIGTERM') => stop(child, signal),
  }
}

/** Asks until the answer is right: a server that listens may still not be ready. */
async function untilIt(
  succeeds: (wire: Wire) => Promise<void>,
  { child, wire, deadline }: { child: ChildProcess; wire: Wire; deadline: number },
): Promise<void> {
  for (;;) {
    try {
      return await succeeds(wire)
    } catch (error) {
      if (child.exitCode !== null || child.signalCode !== null) throw new Error('the server has ended')
      if (performance.now() > deadline) throw error
      await wait(LOOK_AGAIN_MS)
    }
  }
}

async function isReady(wire: Wire): Promise<void> {
  const user = createUser(wire.port)
  try {
    await user.ask(createPrinter(wire.probe)('', wire.keys?.[0] ?? ''))
  } finally {
    user.close()
  }
}

/** Makes a conversation and takes one turn in it. */
export async function takeFirstTurn(wire: Wire): Promise<void> {
  const { conversations, expected, keyOf, printTurn } = createWorld(wire)
  const user = createUser(wire.port)
  try {
    const { id } = await conversations.take(user, keyOf(0))
    await user.stream(printTurn(id, keyOf(0)), expected)
  } finally {
    user.close()
  }
}

async function stop(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  if (signal === 'SIGKILL') signalGroup(child, signal)
  else child.kill(signal)
  const patience = new AbortController()
  await Promise.race([ended, wait(STOP_PATIENCE_MS, undefined, { signal: patience.signal }).catch(() => {})])
  patience.abort()
  signalGroup(child, 'SIGKILL')
  await ended
}

function signalGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  try {
    process.kill(-(child.pid as number), signal)
  } catch {
    // All of it has ended.
  }
}

/** A port that nobody listens on at the moment. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer()
    probe.once('error', reject)
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address()
      probe.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0))
    })
  })
}

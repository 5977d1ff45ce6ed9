import { type ChildProcessByStdio, spawn } from 'node:child_process'
import type { Readable, Writable } from 'node:stream'
import { setTimeout as wait } from 'node:timers/promises'
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js'
import type { JSONRPCMessage } from '@modelcontextprotocol/sdk/types.js'
import { parseExactly } from '../../../lib/exact-json.ts'
import { isJsonObject } from '../../../lib/json.ts'
import { AnswerTooLarge } from '../../../net/bounded-fetch.ts'
import { createMark, endMarked } from '../marked-processes.ts'

/** A command that the operator has named, with all that it is started with. */
export type McpPreset = Readonly<{
  command: string
  args: readonly string[]
  env: Readonly<Record<string, string>>
  /** Null for the folder of the server. */
  cwd: string | null
}>

/** Bytes of one message of a process, and of all that it writes. */
export type ProcessBounds = { mostBytesOfMessage: number; mostBytes: number }
export type ProcessOptions = ProcessBounds & {
  /** Is told once: when it has gone with all that it had started, or never came to be. */
  onGone(): void
}

/** Milliseconds that a process has after the end of its input, and again after SIGTERM. */
const GRACE_MS = 500
const isPosix = process.platform !== 'win32'

type Child = ChildProcessByStdio<Writable, Readable, null>

/**
 * The transport to an MCP server that is a process, which reads and writes a message a line
 * (https://modelcontextprotocol.io/specification/2025-06-18/basic/transports#stdio). In the place of the SDK's, because a
 * process that writes without end must be stopped, and what it has started must go with it: it leads a group of its own,
 * and `close` resolves when the whole group is gone, whether or not it listens. What has left the group is known by a mark.
 */
export function createProcessTransport(preset: McpPreset, { onGone, ...bounds }: ProcessOptions): Transport {
  let child: Child | null = null
  let closing: Promise<void> | null = null
  const mark = createMark()
  const { promise: gone, resolve: setGone } = Promise.withResolvers<void>()

  async function start(): Promise<void> {
    const { command, args, env, cwd } = preset
    const { getDefaultEnvironment } = await import('@modelcontextprotocol/sdk/client/stdio.js')
    const started = spawn(command, args, {
      // It gets no variable of ours but the harmless ones, such as PATH and HOME.
      env: { ...getDefaultEnvironment(), ...env, ...mark.environment },
      ...(cwd !== null && { cwd }),
      stdio: ['pipe', 'pipe', 'ignore'],
      // The leader of a group, so that all of it can be ended.
      detached: isPosix,
      windowsHide: true,
    })
    child = started
    const fail = (error: Error) => {
      transport.onerror?.(error)
      void transport.close()
    }
    // What it writes to when it has gone is nobody's fault.
    started.stdin.on('error', () => {})
    started.stdout.on('error', fail)
    const read = createLineReader(bounds, (message) => transport.onmessage?.(message))
    started.stdout.on('data', (piece: Buffer) => {
      if (closing) return
      try {
        read(piece)
      } catch (error) {
        fail(error as Error)
      }
    })
    // What it has started may still be there.
    started.once('exit', () => {
      signalGroup(started, 'SIGKILL')
      void endMarked(mark).then(() => {
        setGone()
        onGone()
      })
    })
    started.once('close', () => transport.onclose?.())
    await new Promise((resolve, reject) => {
      started.once('spawn', resolve)
      started.once('error', (error) => {
        // It never came to be.
        if (started.pid === undefined) onGone()
        reject(error)
      })
    })
  }

  async function stop(): Promise<void> {
    const running = child
    if (!running) onGone()
    if (!running?.pid) return
    running.stdin.end()
    for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
      await Promise.race([gone, wait(GRACE_MS, undefined, { ref: false })])
      if (hasExited(running)) return gone
      signalGroup(running, signal)
    }
    running.stdout.destroy()
    await gone
  }

  const transport: Transport = {
    start,
    async send(message) {
      if (!child || closing) throw new Error('the process has gone')
      const { stdin } = child
      if (!stdin.write(`${JSON.stringify(message)}\n`)) await new Promise((resolve) => stdin.once('drain', resolve))
    },
    close() {
      closing ??= stop()
      return closing
    },
  }
  return transport
}

function hasExited({ exitCode, signalCode }: Child): boolean {
  return exitCode !== null || signalCode !== null
}

function signalGroup(child: Child, signal: NodeJS.Signals): void {
  try {
    if (isPosix) process.kill(-(child.pid as number), signal)
    else child.kill(signal)
  } catch {
    // Nobody is left in it.
  }
}

/** Lines of one process. */
const MOST_MESSAGES = 10_000

/** Takes pieces of what a process writes, and gives out the messages. Throws when there is too much of it. */
function createLineReader(bounds: ProcessBounds, take: (message: JSONRPCMessage) => void): (piece: Buffer) => void {
  const pieces: Buffer[] = []
  let bytesOfLine = 0
  let bytes = 0
  let messages = 0
  return (piece) => {
    bytes += piece.length
    let from = 0
    for (let end = piece.indexOf(10); end >= 0; end = piece.indexOf(10, from)) {
      pieces.push(piece.subarray(from, end))
      const message = parse(Buffer.concat(pieces).toString('utf8'))
      pieces.length = 0
      bytesOfLine = 0
      from = end + 1
      // Each may want an answer, which waits in memory for a process that does not read.
      if (++messages > MOST_MESSAGES) throw new AnswerTooLarge(bounds.mostBytes)
      if (message) take(message)
    }
    pieces.push(piece.subarray(from))
    bytesOfLine += piece.length - from
    if (bytesOfLine > bounds.mostBytesOfMessage || bytes > bounds.mostBytes) {
      throw new AnswerTooLarge(Math.min(bounds.mostBytesOfMessage, bounds.mostBytes))
    }
  }
}

/** Null for what is no message: a line of a log, such as some servers write to the wrong output. */
function parse(line: string): JSONRPCMessage | null {
  try {
    const value: unknown = parseExactly(line)
    return isJsonObject(value) && value['jsonrpc'] === '2.0' ? (value as unknown as JSONRPCMessage) : null
  } catch {
    return null
  }
}

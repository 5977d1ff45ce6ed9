import { createInterface } from 'node:readline'
import { Writable } from 'node:stream'
import type { Io } from '../command.ts'

export type Terminal = {
  /** True when a person types, and not when lines are piped in. */
  isInteractive: boolean
  /** Writes what the chat is about: to standard output. */
  write(text: string): void
  /** Writes a line about the chat: to standard error. */
  note(line: string): void
  /** The next line; null at the end of the input or after an interrupt at the prompt. A prompt is for people only. */
  ask(prompt: string): Promise<string | null>
  /** Runs `work`; an interrupt meanwhile calls `onInterrupt`. What is typed waits, unseen, for the next prompt. */
  whileBusy<T>(onInterrupt: () => void, work: () => Promise<T>): Promise<T>
  /** Ends the session: there are no more lines, and requests that are under way are given up. */
  quit(): void
  close(): void
}

/**
 * The lines of a person or of a pipe. One reader for the whole session, because closing one loses what it has read ahead.
 * An interrupt that nothing else handles ends it, and `onQuit` is called.
 */
export function openTerminal({ stdin, stdout, stderr }: Io, onQuit: () => void): Terminal {
  const isInteractive = stdin.isTTY === true && stderr.isTTY === true
  const echo = createEcho(stderr)
  const reader = createInterface({ input: stdin, output: echo.stream, terminal: isInteractive, historySize: 1_000 })
  const lines: string[] = []
  let hasEnded = false
  let waiting: ((line: string | null) => void) | null = null
  let onInterrupt: (() => void) | null = null

  reader.on('line', (line) => {
    if (waiting) settle(line)
    else lines.push(line)
  })
  reader.on('close', () => {
    hasEnded = true
    settle(null)
  })
  reader.on('SIGINT', interrupt)
  process.on('SIGINT', interrupt)

  function settle(line: string | null): void {
    const resolve = waiting
    waiting = null
    resolve?.(line)
  }

  function interrupt(): void {
    if (onInterrupt) {
      onInterrupt()
      return
    }
    if (isInteractive) stderr.write('\n')
    quit()
  }

  function quit(): void {
    lines.length = 0
    onQuit()
    reader.close()
  }

  return {
    isInteractive,
    write: (text) => void stdout.write(text),
    note: (line) => void stderr.write(`${line}\n`),
    ask(prompt) {
      const typedAhead = lines.shift()
      if (typedAhead !== undefined) {
        if (isInteractive) stderr.write(`${prompt}${typedAhead}\n`)
        return Promise.resolve(typedAhead)
      }
      if (hasEnded) return Promise.resolve(null)
      echo.isMuted = false
      reader.setPrompt(prompt)
      if (isInteractive) reader.prompt(true)
      return new Promise<string | null>((resolve) => {
        waiting = (line) => {
          echo.isMuted = true
          resolve(line)
        }
      })
    },
    async whileBusy(handler, work) {
      onInterrupt = handler
      try {
        return await work()
      } finally {
        onInterrupt = null
      }
    },
    quit,
    close() {
      process.off('SIGINT', interrupt)
      reader.close()
    },
  }
}

/** Where the line editor draws. While a reply streams, keys that are pressed must not be drawn into it. */
function createEcho(target: NodeJS.WriteStream) {
  const echo = { isMuted: true, stream: new Writable({ decodeStrings: false, write }) }
  // The editor wraps lines by the width of what it draws on.
  Object.defineProperty(echo.stream, 'columns', { get: () => target.columns })
  target.on('resize', () => echo.stream.emit('resize'))
  return echo

  function write(chunk: string, _encoding: BufferEncoding, done: () => void): void {
    if (!echo.isMuted) target.write(chunk)
    done()
  }
}

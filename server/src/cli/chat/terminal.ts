import { createInterface } from 'node:readline'
import { Writable } from 'node:stream'
import { printable } from '../../lib/text/printable.ts'
import type { Io } from '../command.ts'
import { collectLines } from './paste.ts'

/** Asks a terminal to mark what is pasted, and to stop doing so (https://invisible-island.net/xterm/xterm-paste64.html). */
const MARK_PASTES = '\u001b[?2004h'
const LEAVE_PASTES = '\u001b[?2004l'

export type Terminal = {
  /** True when a person types, and not when lines are piped in. */
  isInteractive: boolean
  /** Writes what the chat is about: to standard output. Like everything here, without what a terminal obeys. */
  write(text: string): void
  /** Writes a line about the chat: to standard error. */
  note(line: string): void
  /**
   * What is typed next, several lines when they are pasted; null at the end of the input or after an interrupt at the
   * prompt. A prompt is for people only.
   */
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
export function openTerminal({ env, stdin, stdout, stderr }: Io, onQuit: () => void): Terminal {
  const isInteractive = stdin.isTTY === true && stderr.isTTY === true
  const echo = createEcho(stderr)
  const reader = createInterface({ input: stdin, output: echo.stream, terminal: isInteractive, historySize: 1_000 })
  const paste = collectLines()
  const lines: string[] = []
  let hasEnded = false
  let prompt = ''
  let waiting: ((line: string | null) => void) | null = null
  let onInterrupt: (() => void) | null = null

  const marksPastes = isInteractive && env['TERM'] !== 'dumb'
  if (marksPastes) {
    stderr.write(MARK_PASTES)
    stdin.on('keypress', onKey)
  }
  reader.on('line', (line) => {
    const entered = paste.add(line)
    if (entered === null) showContinuation()
    else if (waiting) settle(entered)
    else lines.push(entered)
  })
  reader.on('close', () => {
    hasEnded = true
    settle(null)
  })
  reader.on('SIGINT', interrupt)
  process.on('SIGINT', interrupt)

  function onKey(_text: string | undefined, key: { name?: string } | undefined): void {
    if (key?.name === 'paste-start') paste.begin()
    if (key?.name === 'paste-end') paste.end()
  }

  /** With what has been typed meanwhile, and with the lines of a paste that nobody has seen yet. */
  function showPrompt(): void {
    const [first, ...others] = paste.held()
    if (first === undefined) {
      reader.prompt(true)
      return
    }
    stderr.write(`${prompt}${printable(first)}\n${others.map((line) => `  ${printable(line)}\n`).join('')}`)
    showContinuation()
  }

  /** The editor begins the next line of a paste at the edge; there it would look like a reply. */
  function showContinuation(): void {
    reader.setPrompt('  ')
    reader.prompt(true)
  }

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
    if (isInteractive) {
      stderr.write('\n')
      if (discard()) return
    }
    quit()
  }

  /** Drops what has been entered and not been sent; false when there is nothing. */
  function discard(): boolean {
    if (waiting === null || (reader.line === '' && paste.held().length === 0)) return false
    paste.forget()
    reader.write(null, { ctrl: true, name: 'e' })
    reader.write(null, { ctrl: true, name: 'u' })
    reader.setPrompt(prompt)
    reader.prompt()
    return true
  }

  function quit(): void {
    lines.length = 0
    onQuit()
    reader.close()
  }

  return {
    isInteractive,
    write: (text) => void stdout.write(printable(text)),
    note: (line) => void stderr.write(`${printable(line)}\n`),
    ask(question) {
      prompt = printable(question)
      const typedAhead = lines.shift()
      if (typedAhead !== undefined) {
        if (isInteractive) stderr.write(`${prompt}${printable(typedAhead)}\n`)
        return Promise.resolve(typedAhead)
      }
      if (hasEnded) return Promise.resolve(null)
      echo.isMuted = false
      reader.setPrompt(prompt)
      if (isInteractive) showPrompt()
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
      stdin.off('keypress', onKey)
      if (marksPastes) stderr.write(LEAVE_PASTES)
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

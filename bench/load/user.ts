import { connect, type Socket } from 'node:net'
import { createHttpReader, statusOf } from '../wire/http-reader.ts'

/** What a whole answer to a turn looks like. */
export type Expected = { ending: string; marks: number; mark: Buffer }

/** An answer with its times in milliseconds since the request was written. */
export type Answer = { firstMs: number; totalMs: number; body: string }

/** Somebody with one connection who asks one thing at a time. */
export type User = {
  /** Connects if there is no connection. */
  connect(): Promise<void>
  /** A turn whose stream is checked to its last byte. Rejects on any answer but the right one. */
  stream(request: string | Buffer, expected: Expected, onMark?: (marks: number) => void): Promise<Answer>
  /** Any other request; the answer has its body. Rejects unless the status is 2xx. */
  ask(request: string | Buffer): Promise<Answer>
  close(): void
}

type Exchange = {
  expected: Expected | null
  startedAt: number
  firstMs: number
  onMark: ((marks: number) => void) | undefined
  resolve: (answer: Answer) => void
  reject: (error: Error) => void
}

/** All connections of a process read into the same memory: it is empty again before the next one reads. */
const SHARED = Buffer.allocUnsafeSlow(64 * 1024)
const LARGEST_ENDING = 64
const PATIENCE_MS = 30_000

export function createUser(port: number): User {
  let socket: Socket | null = null
  let exchange: Exchange | null = null
  let status = 0
  let marks = 0
  let body = ''
  /** The last bytes of the body. */
  const tail = Buffer.alloc(LARGEST_ENDING)

  const newReader = () => createHttpReader('response', { head: takeHead, body: takeBody, end })
  let reader = newReader()

  function takeHead(head: string): void {
    if (exchange === null) throw new Error('an answer that nobody has asked for')
    status = statusOf(head)
    marks = 0
    body = ''
    tail.fill(0)
  }

  function takeBody(bytes: Buffer, from: number, to: number): void {
    if (exchange?.expected == null || status !== 200) {
      body += bytes.toString('latin1', from, to)
      return
    }
    const before = marks
    marks += countMarks(exchange.expected.mark, bytes, from, to)
    if (before === 0 && marks > 0) exchange.firstMs = performance.now() - exchange.startedAt
    if (marks > before) exchange.onMark?.(marks)
    keepTail(bytes, from, to)
  }

  function countMarks(mark: Buffer, bytes: Buffer, from: number, to: number): number {
    const length = mark.length
    // A number is found faster than a buffer.
    const sought = length === 1 ? (mark[0] as number) : mark
    let found = 0
    for (let i = bytes.indexOf(sought, from); i !== -1 && i + length <= to; i = bytes.indexOf(sought, i + length))
      found++
    if (length === 1) return found
    // One that began in what was read before.
    const seam = Buffer.concat([tail.subarray(1 - length), bytes.subarray(from, Math.min(to, from + length - 1))])
    return seam.includes(mark) ? found + 1 : found
  }

  function keepTail(bytes: Buffer, from: number, to: number): void {
    const length = to - from
    if (length >= LARGEST_ENDING) {
      bytes.copy(tail, 0, to - LARGEST_ENDING, to)
    } else {
      tail.copyWithin(0, length)
      bytes.copy(tail, LARGEST_ENDING - length, from, to)
    }
  }

  function end(): void {
    const { expected, startedAt, firstMs, resolve, reject } = exchange as Exchange
    exchange = null
    if (status < 200 || status > 299 || (expected !== null && status !== 200)) {
      reject(new Error(`status ${status}: ${body.slice(0, 300)}`))
    } else if (expected !== null && marks !== expected.marks) {
      reject(new Error(`${marks} tokens instead of ${expected.marks}: … ${tail.toString('latin1')}`))
    } else if (expected !== null && !tail.toString('latin1').endsWith(expected.ending)) {
      reject(new Error(`the answer does not end as it should: … ${tail.toString('latin1')}`))
    } else {
      resolve({ firstMs, totalMs: performance.now() - startedAt, body })
    }
  }

  function fail(error: Error): void {
    socket?.destroy()
    socket = null
    reader = newReader()
    exchange?.reject(error)
    exchange = null
  }

  function open(): Promise<void> {
    if (socket !== null) return Promise.resolve()
    return new Promise((resolve, reject) => {
      const opened = connect({
        port,
        host: '127.0.0.1',
        noDelay: true,
        onread: {
          buffer: SHARED,
          callback(length) {
            try {
              if (opened === socket) reader.push(SHARED.subarray(0, length))
            } catch (error) {
              fail(error as Error)
            }
            return true
          },
        },
      })
      socket = opened
      opened.once('connect', resolve)
      opened.setTimeout(PATIENCE_MS, () => {
        if (opened === socket) fail(new Error(`nothing came for ${PATIENCE_MS / 1_000} s`))
      })
      opened.on('error', (error) => {
        reject(error)
        if (opened === socket) fail(error)
      })
      opened.on('close', () => {
        if (opened !== socket) return
        try {
          reader.close()
        } catch {
          // What matters is whether somebody waits for the rest.
        }
        fail(new Error('the connection was closed'))
      })
    })
  }

  function send(
    request: string | Buffer,
    expected: Expected | null,
    onMark?: (marks: number) => void,
  ): Promise<Answer> {
    if (exchange !== null) throw new Error('a user asks one thing at a time')
    const written = new Promise<Answer>((resolve, reject) => {
      exchange = { expected, startedAt: performance.now(), firstMs: Number.NaN, onMark, resolve, reject }
    })
    if (typeof request === 'string') socket?.write(request, 'latin1')
    else socket?.write(request)
    return written
  }

  return {
    connect: open,
    async stream(request, expected, onMark) {
      if (socket === null) await open()
      return send(request, expected, onMark)
    },
    async ask(request) {
      if (socket === null) await open()
      return send(request, null)
    },
    close() {
      const closing = socket
      socket = null
      closing?.destroy()
      exchange = null
    },
  }
}

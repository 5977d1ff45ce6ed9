import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import type { RunningApp } from './app.ts'

export type RawAnswer = { status: number; headers: Headers; body: string }

/** A connection without any client on it. It never ends its side by itself, whatever the server does. */
export type RawConnection = {
  socket: Socket
  write(text: string | Buffer): void
  /** Writes the pieces one after the other, with a pause between; stops when the connection is gone. */
  drip(pieces: Iterable<string>, pauseMs: number): Promise<void>
  /** What has come so far. */
  received(): string
  /** The other end of it, in the server. */
  atServer: Promise<Socket>
  /** Resolves when the server has let go of it altogether, with all that has come. */
  closed(): Promise<string>
  /** Resolves when so much has come that `isEnough` says so. */
  until(isEnough: (received: string) => boolean): Promise<string>
}

/** Opens connections to a server, and finds their other ends. */
export function createOpener(server: RunningApp): () => RawConnection {
  const ends = new Map<number | undefined, Socket>()
  const listener = server.app.http.server
  listener.prependListener('connection', (socket: Socket) => ends.set(socket.remotePort, socket))
  return () => {
    const { hostname, port } = new URL(server.url)
    const socket = connect({ host: hostname, port: Number(port), allowHalfOpen: true })
    return openRaw(socket, async () => {
      if (socket.connecting) await once(socket, 'connect')
      for (;;) {
        const end = ends.get(socket.localPort)
        if (end) return end
        await wait(5)
      }
    })
  }
}

function openRaw(socket: Socket, findEnd: () => Promise<Socket>): RawConnection {
  let received = ''
  const atServer = findEnd()
  const waiting = new Set<() => void>()
  socket.on('error', () => {})
  socket.on('data', (piece: Buffer) => {
    received += piece.toString('latin1')
    for (const look of waiting) look()
  })
  const hasEnded = new Promise((resolve) => {
    socket.once('end', resolve)
    socket.once('close', resolve)
  })
  return {
    socket,
    atServer,
    // That it has ended its side alone would leave it open for as long as the client likes.
    async closed() {
      const end = await atServer
      if (!end.closed) await once(end, 'close')
      await hasEnded
      socket.destroy()
      return received
    },
    received: () => received,
    write: (text) => void socket.write(text),
    async drip(pieces, pauseMs) {
      for (const piece of pieces) {
        if (socket.destroyed) return
        socket.write(piece)
        await wait(pauseMs)
      }
    },
    until: (isEnough) =>
      new Promise((resolve) => {
        const look = () => {
          if (!isEnough(received)) return
          waiting.delete(look)
          resolve(received)
        }
        waiting.add(look)
        look()
      }),
  }
}

/** The answers in what has come, each with a `content-length`; one that is not whole is left out. */
export function answersIn(received: string): RawAnswer[] {
  const answers: RawAnswer[] = []
  let rest = received
  for (;;) {
    const end = rest.indexOf('\r\n\r\n')
    if (end < 0) return answers
    const [first = '', ...lines] = rest.slice(0, end).split('\r\n')
    const pairs = lines.map((line): [string, string] => {
      const colon = line.indexOf(':')
      return [line.slice(0, colon), line.slice(colon + 1).trim()]
    })
    const headers = new Headers(pairs)
    const length = Number(headers.get('content-length') ?? 0)
    const body = rest.slice(end + 4, end + 4 + length)
    if (body.length < length) return answers
    answers.push({ status: Number(first.split(' ')[1]), headers, body })
    rest = rest.slice(end + 4 + length)
  }
}

/** A certificate for this machine, in files of `directory`: the variables that make a server speak TLS. */
export function createCertificate(directory: string): { DRAMATIS_TLS_CERT: string; DRAMATIS_TLS_KEY: string } {
  const files = { cert: join(directory, 'cert.pem'), key: join(directory, 'key.pem') }
  const out = ['-keyout', files.key, '-out', files.cert, '-days', '2', '-subj', '/CN=localhost']
  execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', ...out], {
    stdio: 'ignore',
  })
  return { DRAMATIS_TLS_CERT: files.cert, DRAMATIS_TLS_KEY: files.key }
}

import type { AddressInfo } from 'node:net'
import { connect, createServer, type Socket } from 'node:net'

/** Stands between a server and its PostgreSQL, and may break the line where it hurts most. */
export type PostgresProxy = {
  url: string
  /** How often it has broken the line. */
  readonly cuts: number
  /** The next commit reaches PostgreSQL, and nobody hears how it went. */
  armForCommit(): void
  close(): Promise<void>
}

/** Milliseconds that PostgreSQL has for a commit before the line breaks. */
const COMMIT_MS = 20
const COMMIT = Buffer.from('commit\0')

export async function startPostgresProxy(target: string): Promise<PostgresProxy> {
  const { hostname, port } = new URL(target)
  const sockets = new Set<Socket>()
  let isArmed = false
  let cuts = 0

  const server = createServer((client) => {
    const upstream = connect(Number(port), hostname)
    let isMute = false
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => {
        sockets.delete(socket)
        client.destroy()
        upstream.destroy()
      })
    }
    client.on('data', (bytes) => {
      upstream.write(bytes)
      if (!isArmed || !bytes.includes(COMMIT)) return
      isArmed = false
      isMute = true
      cuts++
      setTimeout(() => client.destroy(), COMMIT_MS)
    })
    upstream.on('data', (bytes) => {
      if (!isMute) client.write(bytes)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = new URL(target)
  url.port = String((server.address() as AddressInfo).port)
  url.hostname = '127.0.0.1'
  return {
    url: url.href,
    get cuts() {
      return cuts
    },
    armForCommit() {
      isArmed = true
    },
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()))
      for (const socket of sockets) socket.destroy()
      await closed
    },
  }
}

import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { ADMIN_KEY, createConversation, type RunningApp, startApp } from '../support/app.ts'
import { onEveryDatabase } from '../support/databases.ts'

/** As text 120 kB, as events 13 MB: more than the system itself keeps for a connection that nobody reads. */
const TOKENS = 60_000
const LONG = { text: Array.from({ length: TOKENS }, (_, n) => n % 10).join(' ') }
const READERS = 5
/** Bytes that one connection may have waiting in the process: Node's own mark is at 64 KiB, and one piece of 16 KiB and an event more is let through. */
const MOST_WAITING = (64 + 16) * 1_024 + 1_000

/** Sends a request and reads nothing of the answer until `read()` is called, which gives back all of it. */
async function openUnread(server: RunningApp, path: string): Promise<{ socket: Socket; read(): Promise<string> }> {
  const { hostname, port } = new URL(server.url)
  const socket = connect({ host: hostname, port: Number(port) })
  socket.pause()
  await once(socket, 'connect')
  socket.write(`GET ${path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-hl-api-key: ${ADMIN_KEY}\r\n\r\n`)
  return {
    socket,
    async read() {
      const pieces: Buffer[] = []
      for await (const piece of socket) pieces.push(piece as Buffer)
      return Buffer.concat(pieces).toString()
    },
  }
}

/** The ids of the events in a raw answer. */
const eventIds = (text: string) => [...text.matchAll(/^id: [0-9a-f-]+:(\d+)$/gm)].map(([, n]) => Number(n))

onEveryDatabase('readers that do not read', (kind) => {
  test('have little waiting for them, hold up nobody, and get everything when they read on', async () => {
    const server = await startApp(kind)
    const ofServer = new Set<Socket>()
    server.app.http.server.on('connection', (socket: Socket) => ofServer.add(socket))
    /** Bytes that each connection has been given, those that wait included. */
    const givenBytes = () => [...ofServer].map((socket) => socket.bytesWritten)
    const waitingBytes = () => Math.max(...[...ofServer].map((socket) => socket.writableLength))

    const id = await createConversation(server, { ...LONG, delayMs: 300 })
    const running = server.call('PATCH', `/conversations/${id}/chat`, { message: 'Hi' })
    const runs = () => server.call<{ data: { runId: string }[] }>('GET', `/conversations/${id}/runs`)
    await expect.poll(async () => (await runs()).body.data.length).toBe(1)
    const events = `/conversations/${id}/runs/${(await runs()).body.data[0]?.runId}/events`
    const stalled = await Promise.all(Array.from({ length: READERS }, () => openUnread(server, events)))

    // While it runs, and when it has ended: the reply waits once, and not in each connection.
    let highest = 0
    let isOver = false
    const watching = (async () => {
      for (; !isOver; await wait(5)) highest = Math.max(highest, waitingBytes())
    })()
    const whole = await running
    // Nobody has read on by then, so it has waited for nobody.
    const quick = await server.call('PATCH', `/conversations/${await createConversation(server)}/chat-sse`, {
      message: 'Hi',
    })
    const replayed = await server.call('GET', events)
    isOver = true
    await watching

    expect(whole.status).toBe(200)
    expect(quick.text).toContain('[DONE]')
    expect(eventIds(replayed.text)).toHaveLength(TOKENS + 1)
    const size = replayed.text.length
    expect(givenBytes().filter((bytes) => bytes > 1_000_000 && bytes < size * 0.9)).toHaveLength(READERS)
    expect(highest).toBeGreaterThan(0)
    expect(highest).toBeLessThan(MOST_WAITING)

    const late = await Promise.all(stalled.slice(0, 2).map(({ read }) => read()))
    for (const text of late) {
      expect(eventIds(text)).toEqual(Array.from({ length: TOKENS + 1 }, (_, n) => n))
      expect(text).toContain('data: [DONE]')
    }
    for (const { socket } of stalled) socket.destroy()
    await server.close()
  })
})

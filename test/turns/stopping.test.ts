import { execFileSync } from 'node:child_process'
import { connect as connectHttp2 } from 'node:http2'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { PATIENCE } from '../../server/src/http/connections/patience.ts'
import { ADMIN_KEY, createConversation, type RunningApp, startApp } from '../support/app.ts'
import { databaseKinds, onEveryDatabase } from '../support/databases.ts'

/** Far beyond the grace that test servers have: whoever waits this long waits for ever. */
const DEADLINE_MS = 60_000
/** It is the stop that closes connections, and not what closes them in the course of time. */
const WAITING = { ...PATIENCE, headMs: 250_000, bodyMs: 250_000, idleMs: 600_000, unreadMs: 600_000 }

/** Opens a connection and writes `bytes`; resolves when the server has had time to read them. */
async function talk(server: RunningApp, bytes: string): Promise<Socket> {
  const socket = connect(Number(new URL(server.url).port), '127.0.0.1')
  socket.on('error', () => {})
  await new Promise((resolve) => socket.once('connect', resolve))
  if (bytes !== '') await new Promise((resolve) => socket.write(bytes, resolve))
  // Another request that is answered tells that the loop has come round.
  await server.call('GET', '/healthz')
  return socket
}

async function expectToStop(server: RunningApp, release: () => void): Promise<void> {
  const closed = server.close()
  const hasStopped = await Promise.race([closed.then(() => true), wait(DEADLINE_MS, false)])
  // Whatever the outcome, the next test begins with a server of its own.
  release()
  await closed
  expect(hasStopped).toBe(true)
}

onEveryDatabase('a server that stops does not wait for', (kind) => {
  const head = `PATCH /conversations HTTP/1.1\r\nhost: x\r\nx-hl-api-key: ${ADMIN_KEY}\r\n`

  test.each([
    ['a connection that never said anything', ''],
    ['a connection that sent half a head', head],
    ['a connection that sent half a body', `${head}content-type: application/json\r\ncontent-length: 100\r\n\r\n{`],
    ['a connection that is kept alive', 'GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n'],
  ])('%s', async (_what, bytes) => {
    const server = await startApp(kind, {}, { patience: WAITING })
    const socket = await talk(server, bytes)
    await expectToStop(server, () => socket.destroy())
  })

  test('a reader that does not read', async () => {
    const server = await startApp(kind, {}, { patience: WAITING })
    const id = await createConversation(server, { text: `${'x'.repeat(10_000)} `.repeat(19) })
    const body = '{"message":"Hi"}'
    const request = `PATCH /conversations/${id}/chat-sse HTTP/1.1\r\nhost: x\r\nx-hl-api-key: ${ADMIN_KEY}\r\ncontent-type: application/json\r\n`
    const sockets: Socket[] = []
    for (let i = 0; i < 10; i++) {
      const socket = await talk(server, `${request}content-length: ${body.length}\r\n\r\n${body}`)
      socket.pause()
      sockets.push(socket)
    }
    await expectToStop(server, () => {
      for (const socket of sockets) socket.destroy()
    })
  })
})

test('a server that stops does not wait for an HTTP/2 connection that is idle', async () => {
  const kind = databaseKinds[0]
  if (!kind) throw new Error('there is no database')
  const place = await kind.create()
  const files = { cert: join(place.directory, 'cert.pem'), key: join(place.directory, 'key.pem') }
  const out = ['-keyout', files.key, '-out', files.cert, '-days', '2', '-subj', '/CN=localhost']
  execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', ...out], {
    stdio: 'ignore',
  })
  const server = await startApp(
    kind,
    { DRAMATIS_TLS_CERT: files.cert, DRAMATIS_TLS_KEY: files.key },
    { patience: WAITING },
  )
  const session = connectHttp2(server.url.replace('http:', 'https:'), { rejectUnauthorized: false })
  session.on('error', () => {})
  await new Promise((resolve, reject) => {
    const stream = session.request({ ':path': '/healthz' })
    stream.on('error', reject)
    stream.on('end', resolve)
    stream.resume()
    stream.end()
  })
  await expectToStop(server, () => session.destroy())
  await place.remove()
})

import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { type ClientHttp2Session, connect as connectHttp2, type OutgoingHttpHeaders } from 'node:http2'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { connect as connectTls } from 'node:tls'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { PATIENCE } from '../../server/src/http/connections/patience.ts'
import { ADMIN_KEY, type Json, type RunningApp, startApp } from '../support/app.ts'
import { databaseKinds } from '../support/databases.ts'
import { createCertificate } from '../support/raw-http.ts'

const IMPATIENT = {
  ...PATIENCE,
  handshakeMs: 1_500,
  headMs: 2_000,
  bodyMs: 1_500,
  bodyBytesPerSecond: 2_000,
  idleMs: 1_500,
  lingerMs: 500,
  unreadMs: 2_000,
  lookEveryMs: 50,
}
const NOBODY = '00000000-0000-7000-8000-000000000000'
const KEY = { 'x-hl-api-key': ADMIN_KEY }

let server: RunningApp
let url: string
const directory = mkdtempSync(join(tmpdir(), 'dramatis-tls-'))
const kind = databaseKinds[0]
if (!kind) throw new Error('there is no database')

beforeAll(async () => {
  server = await startApp(kind, createCertificate(directory), { patience: IMPATIENT })
  url = server.url.replace('http:', 'https:')
})
afterAll(async () => {
  await server.close()
  rmSync(directory, { recursive: true, force: true })
})

/** What the next connection is at the server. */
async function nextConnection(open: () => void): Promise<Socket> {
  const opened = once(server.app.http.server, 'connection')
  open()
  return (await opened)[0] as Socket
}

async function expectClosed(socket: Socket): Promise<void> {
  if (!socket.closed) await once(socket, 'close')
}

function openSession(): ClientHttp2Session {
  const session = connectHttp2(url, { rejectUnauthorized: false })
  session.on('error', () => {})
  return session
}

type Answer = { status: number; body: Json; closedWith: number }
/** Sends a head, and leaves the body to `send`. */
function ask(
  session: ClientHttp2Session,
  headers: OutgoingHttpHeaders,
  send: (stream: ReturnType<ClientHttp2Session['request']>) => void,
): Promise<Answer> {
  const stream = session.request(headers, { endStream: false })
  let status = 0
  let text = ''
  stream.on('response', (got) => {
    status = got[':status'] ?? 0
  })
  stream.on('data', (piece: Buffer) => {
    text += piece.toString()
  })
  stream.on('error', () => {})
  send(stream)
  return new Promise((resolve) => {
    stream.once('close', () =>
      resolve({ status, body: JSON.parse(text || '{}') as Json, closedWith: stream.rstCode ?? -1 }),
    )
  })
}

test.each([
  ['says nothing', ''],
  ['stops in the middle', '\x16\x03\x01\x02\x00\x01\x00'],
])('a handshake that %s is given up', async (_what, beginning) => {
  let client: Socket | undefined
  const end = await nextConnection(() => {
    client = connect({ port: Number(new URL(url).port), host: '127.0.0.1', allowHalfOpen: true })
    client.on('error', () => {})
    client.write(Buffer.from(beginning, 'latin1'))
  })
  await expectClosed(end)
  client?.destroy()
})

test('a handshake that comes a byte at a time is given up', async () => {
  let client: Socket | undefined
  const end = await nextConnection(() => {
    client = connect({ port: Number(new URL(url).port), host: '127.0.0.1', allowHalfOpen: true })
    client.on('error', () => {})
    client.write(Buffer.from('\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', 'latin1'))
  })
  const dripping = setInterval(() => client?.write('a'), 60)
  await expectClosed(end)
  clearInterval(dripping)
  client?.destroy()
})

test.each(['', 'GET /healthz HTTP/1.1\r\nhost: x\r\nx-a: '])(
  'a head that never ends is given up, %j',
  async (begin) => {
    const end = await nextConnection(() => {
      // Its type does not know `allowHalfOpen`, which it hands on to the connection below.
      const options = {
        port: Number(new URL(url).port),
        host: '127.0.0.1',
        ALPNProtocols: ['http/1.1'],
        rejectUnauthorized: false,
        allowHalfOpen: true,
      }
      const client = connectTls(options)
      client.on('error', () => {})
      client.write(begin)
    })
    await expectClosed(end)
  },
)

test('HTTP/2 says how much it takes', async () => {
  const session = openSession()
  await once(session, 'remoteSettings')
  expect(session.remoteSettings).toMatchObject({ maxConcurrentStreams: 250, maxHeaderListSize: 16_384 })
  session.destroy()
})

test.each([false, true])('a session without streams is closed, with pings: %s', async (pings) => {
  let session: ClientHttp2Session | undefined
  const end = await nextConnection(() => {
    session = openSession()
  })
  const pinging = setInterval(() => {
    if (pings && session && !session.destroyed) session.ping(() => {})
  }, 100)
  await expectClosed(end)
  clearInterval(pinging)
})

test('a session is not closed while a stream waits, and is when that is over', async () => {
  const turn = {
    aiSystem: 'rehearsal',
    model: 'rehearsal',
    configuration: { rehearsal: { text: 'a', delayMs: 3_000 } },
  }
  let session = openSession()
  const end = await nextConnection(() => {
    session = openSession()
  })
  const { body } = await ask(
    session,
    { ':method': 'POST', ':path': '/conversations', 'content-type': 'application/json', ...KEY },
    (stream) => stream.end(JSON.stringify({ ...turn, message: 'Hi' })),
  )
  expect((body['chatMessages'] as Json[]).at(-1)).toMatchObject({ content: 'a' })
  await expectClosed(end)
})

test.each([
  ['stands still', false],
  ['comes a byte at a time', true],
])('a body over HTTP/2 that %s is given up, and the session goes on', async (_what, drips) => {
  const session = openSession()
  const answer = await ask(
    session,
    { ':method': 'POST', ':path': '/personas', 'content-type': 'application/json', ...KEY },
    (stream) => {
      stream.write('{')
      const dripping = setInterval(() => {
        if (drips && !stream.destroyed) stream.write(' ')
      }, 60)
      stream.once('close', () => clearInterval(dripping))
    },
  )
  expect(answer).toMatchObject({ status: 400, body: { error: { message: expect.stringMatching(/too slowly/) } } })
  expect((await ask(session, { ':path': '/healthz' }, (stream) => stream.end())).status).toBe(200)
  session.destroy()
})

test.each([
  ['POST', '/personas', 400],
  ['POST', '/conversations', 400],
  ['POST', '/nothing', 400],
  ['PUT', '/conversations/x/files', 400],
  ['PATCH', `/conversations/${NOBODY}/chat`, 400],
  ['POST', `/conversations/${NOBODY}/chat-sse`, 400],
  ['POST', `/conversations/${NOBODY}/attachments`, 400],
  ['DELETE', `/conversations/${NOBODY}`, 400],
  ['OPTIONS', '/personas', 400],
  ['GET', '/personas', 200],
  ['HEAD', '/personas', 200],
])('a stream of HTTP/2 that never ends is over: %s %s', async (method, path, status) => {
  let session = openSession()
  const end = await nextConnection(() => {
    session = openSession()
  })
  for (const headers of [{}, { 'content-type': 'application/json' }, { 'content-length': '100' }]) {
    const head = { ':method': method, ':path': path, ...headers }
    const [known, unknown] = await Promise.all([
      ask(session, { ...head, ...KEY }, () => {}),
      ask(session, head, () => {}),
    ])
    expect([known.status, unknown.status]).toEqual([status, 401])
  }
  // No stream is left at the server: else the session was none without streams.
  await expectClosed(end)
  session.destroy()
})

test('a body over HTTP/2 that comes slowly but steadily is read', async () => {
  const session = openSession()
  const answer = await ask(
    session,
    { ':method': 'PATCH', ':path': '/nothing', 'content-type': 'application/json', ...KEY },
    async (stream) => {
      for (let sent = 0; sent < 60; sent++) {
        stream.write(' '.repeat(500))
        await wait(50)
      }
      stream.end('{}')
    },
  )
  expect(answer.status).toBe(404)
  session.destroy()
})

test('a request over HTTP/2 that is refused is over, whether its body comes or not', async () => {
  const session = openSession()
  const answer = await ask(session, { ':method': 'POST', ':path': '/personas' }, (stream) => stream.write('{'))
  expect(answer).toMatchObject({ status: 401, closedWith: 0 })
  expect((await ask(session, { ':path': '/healthz' }, (stream) => stream.write('a'))).status).toBe(200)
  session.destroy()
})

test('a reader over HTTP/2 that takes nothing is given up', async () => {
  const text = Array.from({ length: 60_000 }, (_, n) => n % 10).join(' ')
  const session = openSession()
  const started = await ask(
    session,
    { ':method': 'POST', ':path': '/conversations', 'content-type': 'application/json', ...KEY },
    (stream) =>
      stream.end(JSON.stringify({ aiSystem: 'rehearsal', model: 'rehearsal', configuration: { rehearsal: { text } } })),
  )
  const stream = session.request({
    ':method': 'POST',
    ':path': `/conversations/${started.body['conversationId']}/chat-sse`,
    'content-type': 'application/json',
    ...KEY,
  })
  stream.on('error', () => {})
  stream.end('{"message":"Hi"}')
  // Nothing is read, so nothing more is let through than a window's worth.
  await once(stream, 'close')
  expect(stream.rstCode).toBe(8)
  session.destroy()
})

test.each([
  ['another host beside :authority', { host: 'other.example' }, 400],
  ['the same host beside :authority', { host: '127.0.0.1:1' }, 200],
  ['an authority that is no host', { ':authority': 'a,b' }, 400],
])('%s is %j', async (_what, headers, status) => {
  const session = openSession()
  const given = { ':path': '/healthz', ':authority': '127.0.0.1:1', ...headers }
  expect((await ask(session, given, (stream) => stream.end())).status).toBe(status)
  session.destroy()
})

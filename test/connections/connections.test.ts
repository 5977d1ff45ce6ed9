import { connect, type Socket } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { PATIENCE } from '../../server/src/http/connections/patience.ts'
import { ADMIN_KEY, createConversation, parseSse, type RunningApp, startApp } from '../support/app.ts'
import { databaseKinds } from '../support/databases.ts'

/** Enough for whoever means it, also on a busy machine, and little for whoever waits. */
const SHORT = { ...PATIENCE, headMs: 2_000, bodyMs: 2_000, idleMs: 2_000, lingerMs: 500, lookEveryMs: 50 }
const KEY = `x-hl-api-key: ${ADMIN_KEY}`
const JSON_TYPE = 'content-type: application/json'
const sqlite = databaseKinds[0] as (typeof databaseKinds)[number]

type Raw = {
  socket: Socket
  /** What has come so far. */
  readonly text: string
  /** Resolves with all that came, when the server has closed the connection or reset it. */
  closed: Promise<string>
  /** Resolves when what has come matches. */
  until(pattern: RegExp): Promise<string>
}

function dial(url: string): Raw {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  let text = ''
  socket.setEncoding('latin1').on('data', (piece: string) => {
    text += piece
  })
  socket.on('error', () => {})
  const closed = new Promise<string>((resolve) => socket.on('close', () => resolve(text)))
  return {
    socket,
    get text() {
      return text
    },
    closed,
    async until(pattern) {
      while (!pattern.test(text)) {
        if (socket.destroyed) throw new Error(`closed before ${pattern}: ${text}`)
        await wait(5)
      }
      return text
    },
  }
}

/** One line of a head after the other. */
const head = (...lines: string[]) => `${lines.join('\r\n')}\r\n\r\n`

function ask(url: string, text: string): Promise<string> {
  const raw = dial(url)
  raw.socket.end(text)
  return raw.closed
}

// At the same time, because most of it is waiting.
describe.concurrent('a connection', () => {
  let server: RunningApp
  beforeAll(async () => {
    server = await startApp(sqlite, {}, { patience: SHORT })
  })
  afterAll(() => server.close())

  test('on which nothing is said is closed', async () => {
    await dial(server.url).closed
  })

  test('whose head never ends is answered and closed', async () => {
    const raw = dial(server.url)
    raw.socket.write('GET /healthz HTTP/1.1\r\nhost: x\r\n')
    const answer = await raw.closed
    expect(answer).toMatch(/^HTTP\/1\.1 400 [\s\S]*"code":"bad_request"/)
    expect(answer).toContain('cache-control: private, no-store')
  })

  test('that has had its answer is kept, and closed when nothing more is asked', async () => {
    const raw = dial(server.url)
    raw.socket.write(head('GET /healthz HTTP/1.1', 'host: x'))
    await raw.until(/200 OK/)
    await raw.closed
  })

  test.each([
    ['with a key', [KEY], 400],
    ['without one', [], 401],
  ])('whose body comes too slowly is given up, %s', async (_what, lines, status) => {
    const raw = dial(server.url)
    raw.socket.write(head('POST /conversations HTTP/1.1', 'host: x', ...lines, JSON_TYPE, 'content-length: 1000'))
    const typing = setInterval(() => raw.socket.writable && raw.socket.write(' '), 100)
    const answer = await raw.closed
    clearInterval(typing)
    expect(answer).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `))
    expect(answer.toLowerCase()).toContain('connection: close')
  })

  test('with a large body that comes steadily is not', async () => {
    const id = await createConversation(server)
    const raw = dial(server.url)
    const size = 400_000
    const path = `POST /conversations/${id}/attachments HTTP/1.1`
    raw.socket.write(head(path, 'host: x', KEY, 'content-type: text/plain', `content-length: ${size}`))
    for (let sent = 0; sent < size; sent += 10_000) {
      raw.socket.write('a'.repeat(10_000))
      await wait(100)
    }
    expect(await raw.until(/\r\n\r\n/)).toMatch(/^HTTP\/1\.1 20[01] /)
    raw.socket.destroy()
  })

  test('shows the answer to a client that is still sending', async () => {
    const raw = dial(server.url)
    raw.socket.write(head('POST /conversations HTTP/1.1', 'host: x', JSON_TYPE, 'content-length: 900000'))
    raw.socket.write('x'.repeat(100_000))
    const answer = await raw.until(/\r\n\r\n\{.*\}/)
    expect(answer).toMatch(/^HTTP\/1\.1 401 /)
    await raw.closed
  })

  test('with a stream that is silent for longer than any of this goes on', async () => {
    const id = await createConversation(server, { text: 'One two.', delayMs: 4_500 })
    const answer = await server.open('PATCH', `/conversations/${id}/chat-sse`, { message: 'x' })
    expect(parseSse(await answer.text()).length).toBeGreaterThan(1)
  })

  test('may ask a few things ahead, and not any number', async () => {
    const raw = dial(server.url)
    const id = await createConversation(server, { text: 'One two.', delayMs: 400 })
    const body = '{"message":"x"}'
    const turn = [
      `POST /conversations/${id}/chat HTTP/1.1`,
      'host: x',
      KEY,
      JSON_TYPE,
      `content-length: ${body.length}`,
    ]
    raw.socket.write(head(...turn) + body + head('GET /healthz HTTP/1.1', 'host: x').repeat(60))
    const answers = await raw.closed
    expect(answers).toContain('too many requests wait on this connection')
    expect(answers.match(/"status":"ok"|HTTP\/1\.1 200/g)?.length).toBeGreaterThan(10)
  })
})

describe('what can be read in two ways', () => {
  let server: RunningApp
  beforeAll(async () => {
    server = await startApp(sqlite)
  })
  afterAll(() => server.close())

  test.each([
    ['two hosts', ['GET /personas HTTP/1.1', 'host: a', 'host: b', KEY]],
    ['no host', ['GET /personas HTTP/1.1', KEY]],
    ['an empty host', ['GET /personas HTTP/1.1', 'host:', KEY]],
    ['a host with a path', ['GET /personas HTTP/1.1', 'host: a/b', KEY]],
    ['a host with a user', ['GET /personas HTTP/1.1', 'host: u@a', KEY]],
    ['two keys', ['GET /personas HTTP/1.1', 'host: a', KEY, 'x-hl-api-key: other']],
    [
      'two tokens',
      ['GET /personas HTTP/1.1', 'host: a', `authorization: Bearer ${ADMIN_KEY}`, 'authorization: Bearer b'],
    ],
    ['a target of another host', ['GET http://b/personas HTTP/1.1', 'host: a', KEY]],
    ['two lengths', ['POST /conversations HTTP/1.1', 'host: a', KEY, 'content-length: 2', 'content-length: 3']],
    [
      'a length and chunks',
      ['POST /conversations HTTP/1.1', 'host: a', KEY, 'content-length: 2', 'transfer-encoding: chunked'],
    ],
  ])('is refused: %s', async (_what, lines) => {
    const answer = await ask(server.url, head(...lines))
    expect(answer).toMatch(/^HTTP\/1\.1 400 [\s\S]*"code":"bad_request"/)
  })

  test('a target that names the whole address is read as it says', async () => {
    const answer = await ask(
      server.url,
      head('GET http://a:80/personas HTTP/1.1', 'host: a:80', KEY, 'connection: close'),
    )
    expect(answer).toMatch(/^HTTP\/1\.1 200 /)
  })
})

test('connections are as many as there may be, in all and of one address', async () => {
  const server = await startApp(sqlite, { DRAMATIS_CONNECTIONS_PER_ADDRESS: '3' })
  const kept = [dial(server.url), dial(server.url), dial(server.url)]
  for (const raw of kept) {
    raw.socket.write(head('GET /healthz HTTP/1.1', 'host: x'))
    await raw.until(/200 OK/)
  }
  await dial(server.url).closed
  const gone = kept.shift()
  gone?.socket.end()
  await gone?.closed
  const next = dial(server.url)
  next.socket.write(head('GET /healthz HTTP/1.1', 'host: x'))
  await next.until(/200 OK/)
  for (const raw of [...kept, next]) raw.socket.destroy()
  await server.close()
})
